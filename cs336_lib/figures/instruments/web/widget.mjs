function render({ model, el }) {
  const waiting = new Map();
  const load = (name) => {
    if (!waiting.has(name)) {
      waiting.set(
        name,
        new Promise((resolve) => {
          const answer = (message) => {
            if (message?.loaded !== name) return;
            model.off("msg:custom", answer);
            resolve(message.payload);
          };
          model.on("msg:custom", answer);
          model.send({ load: name });
        }),
      );
    }
    return waiting.get(name);
  };
  el.innerHTML = model.get("place");
  const place = el.firstElementChild;
  DRAW.mount(place, { load });
  place.dataset.state = "ready";
}
export default { render };

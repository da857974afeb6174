// Bring the instruments of a page to life: the first time one comes near the window, its script is loaded from beside
// this file. A classic script on purpose: pages opened from file:// may load neither modules nor data by fetch.
(() => {
  "use strict";
  const base = document.currentScript.src.replace(/[^/]*$/, "");
  const version = "?v=VERSION";
  const mounts = new Map();
  const payloads = new Map();
  const waiting = new Map(); // name -> {promise, resolve}

  function script(file) {
    return new Promise((resolve, reject) => {
      const element = document.createElement("script");
      element.src = base + file + version;
      element.onload = resolve;
      element.onerror = () => reject(new Error(`${file} could not be loaded`));
      document.head.append(element);
    });
  }

  // Data by name; each is loaded once.
  function load(name) {
    if (!waiting.has(name)) {
      waiting.set(
        name,
        script(`data-${name}.js`)
          .then(() => payloads.get(name))
          .catch((error) => {
            waiting.delete(name);
            throw error;
          }),
      );
    }
    return waiting.get(name);
  }

  globalThis.cs336Instruments = {
    define: (name, mount) => mounts.set(name, mount),
    data: (name, payload) => payloads.set(name, payload),
  };

  async function start(element) {
    if (element.dataset.state) return;
    element.dataset.state = "loading";
    const name = element.dataset.instrument;
    try {
      if (!mounts.has(name)) await script(`${name}.js`);
      mounts.get(name)(element, { load });
      element.dataset.state = "ready";
    } catch (error) {
      element.dataset.state = "failed";
      const still = element.querySelector(".ci-still");
      if (still) still.textContent = `The instrument did not start: ${error.message}.`;
    }
  }

  function boot() {
    const places = document.querySelectorAll(".cs336-instrument");
    if (!("IntersectionObserver" in globalThis)) return places.forEach(start);
    const near = new IntersectionObserver(
      (entries) => entries.forEach((entry) => entry.isIntersecting && (near.unobserve(entry.target), start(entry.target))),
      { rootMargin: "600px" },
    );
    places.forEach((place) => near.observe(place));
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", boot);
  else boot();
})();

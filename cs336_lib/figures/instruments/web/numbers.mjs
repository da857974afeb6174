// Numbers in writing: rounded where they are shown, so that no raw double is, and each the same wherever it stands.

// Whole numbers with commas, as Python's f"{count:,}" writes them; a double beyond 1e21 in full.
export const commas = (count) => String(Number.isInteger(count) ? BigInt(count) : count).replace(/\B(?=(\d{3})+$)/g, ",");

const beyond = (value) => (Number.isNaN(value) ? "–" : value > 0 ? "∞" : "-∞");

// The number itself: 1,000,000 or 1e21 or 0.000775. Whole numbers stay whole; others are rounded to `digits` digits where
// they were computed, and are left as they are where a reader typed them.
export function exact(value, digits = null) {
  if (!Number.isFinite(value)) return beyond(value);
  if (Number.isInteger(value) && Math.abs(value) < 1e21) return commas(value);
  const [number, power] = String(digits ? Number(value.toPrecision(digits)) : value).split("e");
  if (power !== undefined) return `${number}e${Number(power)}`;
  const [whole, part] = number.split(".");
  return part === undefined ? commas(whole) : `${commas(whole)}.${part}`;
}

// Three digits, four of a number from 0.001 to 10,000: for axes and sentences. Rounded before the unit is chosen.
export function short(value) {
  if (!Number.isFinite(value)) return beyond(value);
  if (value === 0) return "0";
  const [three, four] = [3, 4].map((digits) => Number(value.toPrecision(digits)));
  const size = Math.abs(three);
  if (size >= 1e9 || size < 1e-3) return value.toExponential(2).replace(/\.?0*e\+?/, "e");
  if (size >= 1e6) return `${+(three / 1e6).toPrecision(3)}M`;
  if (Math.abs(four) >= 1e4) return `${+(three / 1e3).toPrecision(3)}k`;
  return String(four);
}

// "1 byte", "2,000 bytes".
export const amount = (count, noun) => `${exact(Number(count))} ${noun}${Number(count) === 1 ? "" : "s"}`;

// A whole number or a number typed in; NaN when it is none. Commas part thousands: "0,5" is no 5.
export function readNumber(text) {
  const plain = text.trim().replace(/(\d)[_ ](?=\d)/g, "$1").replace(/^([-+]?\d{1,3})((?:,\d{3})+)(?=\.|$)/, (_, first, rest) => first + rest.replaceAll(",", ""));
  return /^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(plain) ? Number(plain) : NaN;
}

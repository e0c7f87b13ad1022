// Colours of the style sheet for what is drawn in a canvas.

const probe = document.createElement("i");
probe.hidden = true;
document.body.append(probe);
const known = new Map();

/** A colour of live.css by its name without dashes, in the theme of the moment. */
export function colour(name) {
  if (!known.has(name)) {
    probe.style.color = `var(--${name})`;
    known.set(name, getComputedStyle(probe).color);
  }
  return known.get(name);
}

/** The theme has changed. */
export function forgetColours() {
  known.clear();
}

// Those of sentio.affect.results.colours; a test holds them together.
const PERSONS = ["#56b4e9", "#e69f00", "#ebebb1", "#89894e", "#8976ff", "#ff009d", "#b1ff76"];

/** Colour of a person. */
export function personColour(person) {
  return PERSONS[person % PERSONS.length];
}

/** Fit a canvas to its size on the page; gives its context, cleared, in CSS pixels, and that size. */
export function fitted(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const dense = window.devicePixelRatio || 1;
  const [across, down] = [Math.round(width * dense), Math.round(height * dense)];
  if (canvas.width !== across || canvas.height !== down) [canvas.width, canvas.height] = [across, down];
  const context = canvas.getContext("2d");
  context.setTransform(dense, 0, 0, dense, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

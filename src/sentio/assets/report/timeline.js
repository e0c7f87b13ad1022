// The timeline: one view, shared by all lanes; an overview of the whole file; where the cursor stands.

const CURVE = 88, BAND = 18, FACE = 12, UNIT = 12, GAP = 4, EVENTS = DATA.events.length ? 16 : 0, AXIS = 24 + EVENTS;
const SPEECH = whoSpeaksIsTold ? FACE + GAP : 0;
const view = { from: DATA.start, to: DATA.end };
const whole = Math.max(DATA.end - DATA.start, 1e-3);
const gutter = () => byId("tracks").clientWidth < 560 ? 66 : 82;

function clockText(time, digits = 1) {
  const seconds = Math.max(0, time - DATA.begin), rest = seconds % 60;
  const minutes = Math.floor(seconds / 60), hours = Math.floor(minutes / 60);
  const tail = `${rest < 9.95 || (digits === 2 && rest < 9.995) ? "0" : ""}${rest.toFixed(digits)}`;
  return hours ? `${hours}:${String(minutes % 60).padStart(2, "0")}:${tail}` : `${minutes}:${tail}`;
}

function pixelsOfView() {
  const left = gutter();
  return new Pixels(view.from, view.to, left, Math.max(10, Math.floor(byId("tracks").clientWidth - left)));
}

// Blocks of the page, each with a head and a canvas that is drawn by `draw(ink, pixels)`.
const blocks = [];

function addBlock(title, about, heightOf, draw) {
  const block = document.createElement("div"), head = document.createElement("div"), canvas = document.createElement("canvas");
  head.className = "who";
  head.append(title);
  const note = document.createElement("span");
  note.textContent = about;
  head.append(note);
  block.append(head, canvas);
  byId("lanes").append(block);
  blocks.push({ canvas, heightOf, draw });
  return head;
}

function addPerson(person) {
  let open = persons.length <= 2;
  const seen = person.state.reduce((count, state) => count + (state === FIT || state === UNFIT), 0);
  const speech = person.speaks_s ? `speaks for ${person.speaks_s.toFixed(1)} s` : "does not speak";
  const frames = `${times.length} ${times.length === 1 ? "frame" : "frames"}`;
  const about = `in ${seen} of ${frames}${person.speaks_s === null ? "" : `, ${speech}`}`;
  const height = () => CURVE + BAND + FACE + SPEECH + 3 * GAP + (open ? DATA.units.length * UNIT + GAP : 0);
  const head = addBlock(person.name, about, height, (ink, pixels) => drawPerson(ink, pixels, person, open));
  const button = document.createElement("button");
  button.type = "button";
  const show = () => {
    button.textContent = open ? "Hide action units" : "Show action units";
    button.setAttribute("aria-expanded", open);
  };
  button.addEventListener("click", () => { open = !open; show(); draw(); });
  button.addEventListener("pointerdown", event => event.stopPropagation());
  show();
  head.append(button);
}

function drawAffect(ink, pixels, track, prefix, top) {
  ground(ink, pixels, track, top, CURVE);
  ink.fillStyle = COLOURS.line;
  ink.fillRect(pixels.left, top + CURVE / 2, pixels.width, 1);
  writeName(ink, "1", pixels.left - 6, top + 6);
  writeName(ink, "0", pixels.left - 6, top + CURVE / 2);
  writeName(ink, "−1", pixels.left - 6, top + CURVE - 6);
  writeName(ink, "valence", pixels.left - 6, top + CURVE * .25 + 2, COLOURS.valence);
  writeName(ink, "arousal", pixels.left - 6, top + CURVE * .75 - 2, COLOURS.arousal);
  curve(ink, pixels, track, `${prefix}arousal`, top, CURVE, COLOURS.arousal);
  curve(ink, pixels, track, `${prefix}valence`, top, CURVE, COLOURS.valence);
}

function drawPerson(ink, pixels, person, open) {
  let top = 0;
  drawAffect(ink, pixels, person, "", top);
  top += CURVE + GAP;
  ground(ink, pixels, person, top, BAND);
  band(ink, pixels, person, "expression", top, BAND);
  writeName(ink, "expression", pixels.left - 6, top + BAND / 2);
  top += BAND + GAP;
  ground(ink, pixels, person, top, FACE);
  face(ink, pixels, person, top, FACE);
  writeName(ink, "face", pixels.left - 6, top + FACE / 2);
  top += FACE + GAP;
  if (SPEECH) {
    ground(ink, pixels, person, top, FACE);
    speech(ink, pixels, person, top, FACE);
    writeName(ink, "speaks", pixels.left - 6, top + FACE / 2);
    top += SPEECH;
  }
  if (!open) return;
  ground(ink, pixels, person, top, DATA.units.length * UNIT);
  for (const unit of DATA.units) {
    depth(ink, pixels, person, `au_${unit.slice(2)}`, top + 1, UNIT - 1, COLOURS.unit);
    spans(ink, pixels, person.episodes[unit] || [], top + UNIT - 2, 2, COLOURS.ink);
    writeName(ink, unit, pixels.left - 6, top + UNIT / 2 + .5);
    top += UNIT;
  }
}

function drawVoice(ink, pixels) {
  drawAffect(ink, pixels, voice, "voice_", 0);
  let top = CURVE + GAP;
  ground(ink, pixels, voice, top, BAND);
  band(ink, pixels, voice, "voice_expression", top, BAND);
  writeName(ink, "expression", pixels.left - 6, top + BAND / 2);
  top += BAND + GAP;
  ground(ink, pixels, voice, top, FACE);
  depth(ink, pixels, voice, "speech", top, FACE, COLOURS.fit);
  writeName(ink, "speech", pixels.left - 6, top + FACE / 2);
}

function drawAxis(pixels) {
  const ink = prepare(byId("axis"), AXIS), steps = [.1, .2, .5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];
  const room = Math.max(2, pixels.width / 80), step = steps.find(step => (view.to - view.from) / step <= room) || 7200;
  ink.font = "11px system-ui, sans-serif";
  ink.textBaseline = "middle";
  for (let k = Math.ceil((view.from - DATA.begin) / step - 1e-6); k * step <= view.to - DATA.begin + 1e-6; k++) {
    const x = pixels.at(DATA.begin + k * step);
    ink.fillStyle = COLOURS.line;
    ink.fillRect(x, AXIS - 6, 1, 6);
    ink.fillStyle = COLOURS.muted;
    ink.textAlign = x > pixels.left + pixels.width - 24 ? "right" : x < pixels.left + 24 ? "left" : "center";
    ink.fillText(clockText(DATA.begin + k * step, step < 1 ? 1 : 0), x, EVENTS + 11);
  }
  for (const [time, label] of DATA.events) {
    const x = pixels.at(time);
    if (x < pixels.left || x > pixels.left + pixels.width) continue;
    ink.fillStyle = COLOURS.accent;
    ink.fillRect(x, 0, 2, AXIS);
    const isLate = x > pixels.left + .8 * pixels.width;
    ink.textAlign = isLate ? "right" : "left";
    ink.fillText(label, isLate ? x - 4 : x + 6, 8);
  }
}

function drawOverview() {
  const canvas = byId("overview").firstElementChild, height = byId("overview").clientHeight;
  const ink = prepare(canvas, height), pixels = new Pixels(DATA.start, DATA.end, 0, Math.max(10, canvas.clientWidth));
  ink.fillStyle = COLOURS.nobody;
  ink.fillRect(0, 0, pixels.width, height);
  const tracks = persons.length ? persons : voice ? [voice] : [];
  tracks.forEach((track, k) => {
    const column = track === voice ? "voice_expression" : "expression";
    band(ink, pixels, track, column, k * height / tracks.length, Math.min(12, Math.ceil(height / tracks.length)) === 12
      ? height / tracks.length : height / tracks.length - 1);
  });
  spans(ink, pixels, DATA.events.map(([time]) => [time, time + 2 * pixels.perPixel]), 0, height, COLOURS.accent);
}

function draw() {
  const pixels = pixelsOfView();
  drawAxis(pixels);
  for (const block of blocks) block.draw(prepare(block.canvas, block.heightOf()), pixels);
  placeWindow();
  placeCursor();
}

function placeWindow() {
  const style = byId("window").style, share = time => (time - DATA.start) / whole * 100;
  style.left = `${share(view.from)}%`;
  style.width = `${share(view.to) - share(view.from)}%`;
  byId("window").hidden = view.from <= DATA.start && view.to >= DATA.end;
}

// A player may begin a little before the first picture, and end behind the last one: the cursor then stands at the edge.
function placeCursor() {
  const time = Math.min(Math.max(now.time, DATA.start), DATA.end), left = gutter();
  const share = (time - view.from) / (view.to - view.from);
  const cursor = byId("cursor"), small = byId("overview").lastElementChild;
  small.hidden = !isRead(now.time);
  small.style.left = `${(time - DATA.start) / whole * 100}%`;
  cursor.hidden = small.hidden || share < 0 || share > 1;
  cursor.style.left = `${left + share * (byId("tracks").clientWidth - left)}px`;
}

// Show a stretch of time, moved into the file, no shorter than ten frames.
function show(from, to) {
  const least = Math.min(whole, Math.max(10 * whole / Math.max(times.length, 1), .2));
  const length = Math.min(whole, Math.max(least, to - from));
  view.from = Math.min(Math.max((from + to - length) / 2, DATA.start), DATA.end - length);
  view.to = view.from + length;
  schedule();
}

function zoom(factor, around = now.time) {
  const middle = Math.min(Math.max(around, view.from), view.to);
  show(middle - (middle - view.from) * factor, middle + (view.to - middle) * factor);
}

let scheduled = false;
function schedule() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => { scheduled = false; draw(); });
}

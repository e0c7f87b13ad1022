// What is read at the cursor, of one person.

const now = { time: DATA.start, person: persons[0] || null, told: DATA.start };
const bars = {};

function addBar(parent, key, text, colour, withNumber) {
  const bar = document.createElement("div");
  bar.className = "bar";
  const label = document.createElement("span"), ground = document.createElement("i"), level = document.createElement("u");
  label.textContent = text;
  if (colour) level.style.background = colour;
  ground.append(level);
  bar.append(label, ground);
  const number = document.createElement("span");
  if (withNumber) bar.append(number);
  byId(parent).append(bar);
  bars[key] = { bar, level, number };
}

function setBar(key, value, seen) {
  const { bar, level, number } = bars[key];
  level.style.width = `${(value || 0) * 100}%`;
  number.textContent = value === null ? "" : Math.round(value * 100);
  bar.classList.toggle("seen", seen);
}

function buildNow() {
  for (const label of DATA.expressions) addBar("expressions", label, label, `var(--${label})`, true);
  for (const unit of DATA.units) addBar("units", unit, unit, "", false);
  if (persons.length < 2) return;
  for (const person of persons) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = person.name;
    button.addEventListener("click", () => { now.person = person; showNow(); });
    byId("persons").append(button);
    person.button = button;
  }
}

const signed = value => value === null ? "–" : `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;

function isSeen(person, unit, time) {
  return (person.episodes[unit] || []).some(([start, end]) => start <= time && time < end);
}

const isRead = time => time > DATA.start - .1 && time < DATA.end + .5;

// What is read of a person, in words: [the expression or what is wrong, the rest].
function inWords(person, frame, time) {
  if (!isRead(time)) return ["Not read", "at this time of the file."];
  if (!person) return ["No face", "was found in this file."];
  if (!person.stateAt(frame)) return [person.name, "is not in sight."];
  const label = person.label("expression", frame) || "No scores", reason = person.reason(frame);
  const values = ["valence", "arousal"].map(column => `${column} ${signed(person.value(column, frame, -1, 1))}`);
  return [label, `${values.join(", ")}${reason ? ` (${reason})` : ""}`];
}

function heard(frame) {
  if (!voice) return "";
  const label = voice.label("voice_expression", frame);
  if (!label) return "Nobody speaks.";
  const values = ["valence", "arousal"].map(column => `${column} ${signed(voice.value(`voice_${column}`, frame, -1, 1))}`);
  const speaker = persons.find(person => speaks(person, frame));
  return `${speaker ? `${speaker.name} speaks` : "The voice"}: ${label}, ${values.join(", ")}`;
}

function showNow() {
  const { person, time } = now, frame = frameAt(time), there = person && isRead(time) && person.stateAt(frame);
  for (const other of persons) if (other.button) other.button.setAttribute("aria-pressed", other === person);
  byId("clock").textContent = clockText(time, 2);
  const [first, rest] = inWords(person, frame, time), strong = document.createElement("b");
  strong.textContent = first;
  byId("reading").replaceChildren(strong, rest);
  const voiced = isRead(time) ? heard(frame) : "";
  byId("heard").textContent = voiced;
  const label = there ? person.label("expression", frame) : null;
  for (const each of DATA.expressions)
    setBar(each, there ? person.value(`p_${each.toLowerCase()}`, frame) : null, each === label);
  for (const unit of DATA.units)
    setBar(unit, there ? person.value(`au_${unit.slice(2)}`, frame) : null, Boolean(there) && isSeen(person, unit, time));
  drawCircumplex(person, frame, time);
  placeCursor();
  if (!isPlaying() || Math.abs(time - now.told) >= 1)
    tell(`${clockText(time)}, ${person && there ? `${person.name}: ` : ""}${first} ${rest}${voiced && `. ${voiced}`}`);
}

// To a screen reader, which would be flooded by every frame while the file plays.
function tell(text) {
  now.told = now.time;
  byId("tracks").setAttribute("aria-valuenow", Math.max(0, now.time - DATA.start).toFixed(3));
  byId("tracks").setAttribute("aria-valuetext", text);
}

const TRAIL_S = 3, CELLS = 48;

// Where a person has been over the whole file, as counts of CELLS x CELLS.
function visits(person) {
  if (person.visits) return person.visits;
  const counts = new Uint32Array(CELLS * CELLS), { valence, arousal } = person.columns;
  for (let k = 0; k < person.length; k++) {
    if (!valence[k] || !arousal[k]) continue;
    const cell = byte => Math.min(CELLS - 1, Math.floor((byte - 1) / 255 * CELLS));
    counts[(CELLS - 1 - cell(arousal[k])) * CELLS + cell(valence[k])]++;
  }
  return person.visits = { counts, most: counts.reduce((a, b) => Math.max(a, b), 1) };
}

function drawCircumplex(person, frame, time) {
  const canvas = byId("circumplex"), size = canvas.clientWidth;
  if (!size) return;
  const ink = prepare(canvas, size), radius = size / 2 - 9, middle = size / 2;
  ink.fillStyle = COLOURS.lane;
  ink.strokeStyle = COLOURS.line;
  ink.beginPath();
  ink.roundRect(.5, .5, size - 1, size - 1, 8);
  ink.fill();
  ink.beginPath();
  ink.arc(middle, middle, radius, 0, 2 * Math.PI);
  ink.stroke();
  ink.fillStyle = COLOURS.line;
  ink.fillRect(middle - radius, middle, 2 * radius, 1);
  ink.fillRect(middle, middle - radius, 1, 2 * radius);
  if (person) drawPath(ink, person, frame, time, middle, radius);
  ink.font = "11px system-ui, sans-serif";
  ink.fillStyle = COLOURS.muted;
  ink.textBaseline = "middle";
  ink.textAlign = "center";
  ink.fillText("active", middle, 14);
  ink.fillText("calm", middle, size - 14);
  ink.textAlign = "left";
  ink.fillText("unpleasant", 10, middle - 9);
  ink.textAlign = "right";
  ink.fillText("pleasant", size - 10, middle + 10);
}

function drawPath(ink, person, frame, time, middle, radius) {
  const { counts, most } = visits(person), cell = 2 * radius / CELLS;
  ink.fillStyle = COLOURS.accent;
  counts.forEach((count, k) => {
    if (!count) return;
    ink.globalAlpha = .08 + .3 * Math.log1p(count) / Math.log1p(most);
    ink.fillRect(middle - radius + k % CELLS * cell, middle - radius + Math.floor(k / CELLS) * cell, cell, cell);
  });
  ink.strokeStyle = COLOURS.ink;
  ink.lineWidth = 2;
  ink.lineCap = "round";
  const place = at => [person.value("valence", at, -1, 1), person.value("arousal", at, -1, 1)];
  let before = null;
  for (let at = frameAt(time - TRAIL_S); at <= frame; at++) {
    const [valence, arousal] = place(at);
    const here = valence === null || arousal === null ? null : [middle + valence * radius, middle - arousal * radius];
    if (before && here) {
      ink.globalAlpha = Math.max(.06, 1 - (time - times[at]) / TRAIL_S);
      ink.beginPath();
      ink.moveTo(...before);
      ink.lineTo(...here);
      ink.stroke();
    }
    before = here;
  }
  ink.globalAlpha = 1;
  if (!before) return;
  ink.fillStyle = COLOURS[person.label("expression", frame)] || COLOURS.accent;
  ink.beginPath();
  ink.arc(...before, 6, 0, 2 * Math.PI);
  ink.fill();
  ink.stroke();
}

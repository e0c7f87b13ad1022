// Valence to the right, arousal upwards: the moment as a dot, the last seconds as its trail, the voice as a diamond.

import { colour, fitted, personColour } from "./colours.js";

const TRAIL_S = 3;
const MARGIN = 20;

/** Draw a person's `History` up to now, and what the voice says, each where there is one. */
export function drawCircumplex(canvas, { history, person, voice, now_s }) {
  const { context, width } = fitted(canvas);
  const radius = width / 2 - MARGIN;
  if (radius <= 0) return; // not laid out yet
  context.translate(width / 2, width / 2);
  drawField(context, radius);
  if (voice?.valence !== null && voice?.valence !== undefined) drawVoice(context, radius, voice);
  if (history) drawTrail(context, radius, history, person, now_s);
}

function drawField(context, radius) {
  context.strokeStyle = colour("line");
  context.lineWidth = 1;
  for (const part of [0.5, 1]) {
    context.beginPath();
    context.arc(0, 0, radius * part, 0, 2 * Math.PI);
    context.stroke();
  }
  context.beginPath();
  context.moveTo(-radius, 0);
  context.lineTo(radius, 0);
  context.moveTo(0, -radius);
  context.lineTo(0, radius);
  context.stroke();
  context.fillStyle = colour("muted");
  context.font = "11px system-ui, sans-serif";
  context.textAlign = "center";
  context.fillText("active", 0, -radius - 6);
  context.fillText("calm", 0, radius + 14);
  for (const [side, word] of [[-1, "unpleasant"], [1, "pleasant"]]) {
    context.save();
    context.translate(side * (radius + 10), 0);
    context.rotate(-Math.PI / 2);
    context.fillText(word, 0, 4);
    context.restore();
  }
}

function drawTrail(context, radius, { time_s, valence, arousal }, person, now_s) {
  let first = time_s.length;
  while (first > 0 && time_s[first - 1] >= now_s - TRAIL_S) first -= 1;
  context.strokeStyle = context.fillStyle = colour("ink");
  context.lineWidth = 2;
  context.lineCap = "round";
  for (let place = first + 1; place < time_s.length; place += 1) {
    if (valence[place] === null || valence[place - 1] === null) continue;
    context.globalAlpha = 0.5 * Math.max(0, 1 - (now_s - time_s[place]) / TRAIL_S);
    context.beginPath();
    context.moveTo(valence[place - 1] * radius, -arousal[place - 1] * radius);
    context.lineTo(valence[place] * radius, -arousal[place] * radius);
    context.stroke();
  }
  context.globalAlpha = 1;
  if (first >= time_s.length || valence.at(-1) === null) return;
  context.beginPath();
  context.arc(valence.at(-1) * radius, -arousal.at(-1) * radius, 6, 0, 2 * Math.PI);
  context.fillStyle = personColour(person);
  context.fill();
  context.stroke();
}

function drawVoice(context, radius, { valence, arousal }) {
  const [x, y, half] = [valence * radius, -arousal * radius, 6];
  context.beginPath();
  context.moveTo(x - half, y);
  context.lineTo(x, y - half);
  context.lineTo(x + half, y);
  context.lineTo(x, y + half);
  context.closePath();
  context.strokeStyle = colour("muted");
  context.lineWidth = 2;
  context.stroke();
}

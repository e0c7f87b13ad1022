// The faces of the last answer, drawn over the picture they were found in.

import { fitted, personColour } from "./colours.js";

const CORNER = 0.2; // of a box's side that its corner lines take

/** Where a picture of `size` [width, height] lies in an element that shows it whole: scale and offset in CSS pixels. */
function fit({ clientWidth, clientHeight }, [width, height]) {
  const scale = Math.min(clientWidth / width, clientHeight / height);
  return { scale, left: (clientWidth - width * scale) / 2, top: (clientHeight - height * scale) / 2 };
}

/** Draw `rows` that have a face; `label(row)` is written at each, and the selected person's box is stronger. */
export function drawBoxes(canvas, size, rows, selected, label) {
  const { context } = fitted(canvas);
  const { scale, left, top } = fit(canvas, size);
  context.font = "600 13px system-ui, sans-serif";
  for (const row of rows) {
    if (row.person === null || row.face_x === null) continue;
    const box = [left + row.face_x * scale, top + row.face_y * scale, row.face_w * scale, row.face_h * scale];
    const strong = row.person === selected;
    drawBox(context, box, personColour(row.person), { strong, dashed: Boolean(row.reason) });
    drawLabel(context, box, personColour(row.person), label(row));
  }
}

/** The person whose face is at a point of the canvas, or undefined. */
export function personAt(canvas, size, rows, x, y) {
  const { scale, left, top } = fit(canvas, size);
  const [across, down] = [(x - left) / scale, (y - top) / scale];
  return rows.find(
    ({ face_x, face_y, face_w, face_h, person }) =>
      person !== null && across >= face_x && across <= face_x + face_w && down >= face_y && down <= face_y + face_h,
  )?.person;
}

function drawBox(context, [x, y, width, height], tone, { strong, dashed }) {
  const [across, down] = [width * CORNER, height * CORNER];
  context.beginPath();
  if (dashed) {
    context.rect(x, y, width, height);
  } else {
    for (const [cx, cy, dx, dy] of [[x, y, 1, 1], [x + width, y, -1, 1], [x + width, y + height, -1, -1], [x, y + height, 1, -1]]) {
      context.moveTo(cx + dx * across, cy);
      context.lineTo(cx, cy);
      context.lineTo(cx, cy + dy * down);
    }
  }
  context.setLineDash(dashed ? [6, 5] : []);
  context.lineJoin = context.lineCap = "round";
  for (const [stroke, line] of [["#000000a0", strong ? 6 : 4], [tone, strong ? 3 : 1.75]]) {
    context.strokeStyle = stroke;
    context.lineWidth = line;
    context.stroke();
  }
  context.setLineDash([]);
}

function drawLabel(context, [x, y, , height], tone, text) {
  const width = context.measureText(text).width + 14;
  const above = y >= 26 ? y - 26 : y + height + 4;
  const left = Math.max(2, Math.min(x - 1, context.canvas.clientWidth - width - 2));
  context.fillStyle = "#000000b8";
  context.beginPath();
  context.roundRect(left, above, width, 22, 4);
  context.fill();
  context.fillStyle = tone;
  context.fillRect(left, above + 4, 3, 14);
  context.fillStyle = "#fff";
  context.fillText(text, left + 9, above + 15.5);
}

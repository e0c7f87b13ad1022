// The choice of camera, microphone and model.

import { listDevices } from "./camera.js";

const at = (id) => document.getElementById(id);
const SILENT = ["", "none"];

/** Fill a select with [value, name] pairs and choose one of the values. */
function fill(select, options, chosen) {
  select.replaceChildren(...options.map(([value, name]) => new Option(name, value, false, value === chosen)));
}

/** Offer the devices there are; `camera` and `microphone` are the ids in use, or undefined. */
export async function offerDevices(camera, microphone) {
  fill(at("camera"), await listDevices("videoinput"), camera);
  fill(at("microphone"), [SILENT, ...(await listDevices("audioinput"))], microphone ?? "");
}

/** Nothing to choose: the server has its own source. */
export function showSource({ name, sound }) {
  for (const [id, text] of [["camera", name], ["microphone", sound ? `sound of ${name}` : "none"]]) {
    fill(at(id), [["", text]], "");
  }
}

export function offerModels(models, chosen) {
  fill(at("model"), models.map(({ name, title }) => [name, title]), chosen);
}

// The page of sentio live: what happens when, from the first word of the server to the last picture.

import { Camera } from "./camera.js";
import { Controls } from "./controls.js";
import { Curves } from "./curves.js";
import { offerDevices, offerModels, showSource } from "./devices.js";
import { History } from "./history.js";
import { bindKeys } from "./keys.js";
import { drawBoxes, personAt } from "./overlay.js";
import { Panels, sentence, speaks } from "./panels.js";
import { Persons } from "./persons.js";
import { NOT_LOCAL, TOO_OLD, UNPLUGGED, WELCOME, cameraProblem, lostProblem, microphoneProblem } from "./problems.js";
import { Readings } from "./readings.js";
import { PictureSender } from "./sender.js";
import { PICTURE, SOUND, Session } from "./session.js";
import { Microphone } from "./sound.js";
import { hideCard, notify, setState, showCard, state } from "./states.js";
import { bindTheme } from "./theme.js";

const WRITE_MS = 200; // between two changes of a number
const SAY_MS = 8000; // between two sentences for those who hear them
const BOXES_S = 1; // after which old boxes vanish

const at = (id) => document.getElementById(id);
const clock_s = () => performance.now() / 1000;
const video = at("video");

// Connection

const token = new URLSearchParams(location.search).get("token") ?? "";
history.replaceState(null, "", location.pathname);
let source = null; // the server's own, if it has one
let model = null;
let greeted = false;
let refusal = ""; // the one behind the last answer
let sounding = false; // whether the session has sound

const session = new Session(token, {
  hello(message) {
    ({ source, model } = message);
    panels.setModel(message);
    offerModels(message.models, model);
    if (greeted) return; // it is the answer to open
    greeted = true;
    at("baseline").hidden = message.baseline === null;
    at("baseline").textContent = `The first ${message.baseline} s of each person are taken as rest: valence and action units are empty until then, and count from it.`;
    at("folder").textContent = `Recordings are written into ${message.record_folder}.`;
    if (source) startSource();
    else if (camera.deviceId) open();
    else if (!navigator.mediaDevices) showProblem(NOT_LOCAL, null);
    else if (!video.requestVideoFrameCallback || !window.OffscreenCanvas) showProblem(TOO_OLD, null);
    else askToStart();
  },
  frame: takeFrame,
  picture: showPicture,
  voice(message) {
    voice = message;
    changed = true;
  },
  dropped: ({ count }) => (readings.serverDropped = count),
  recording: (message) => controls.setRecording(message),
  marked({ time_s, label }) {
    controls.countMark();
    curves.events.push({ time_s: time_s - (begun_s ?? time_s), label });
    changed = true;
  },
  recorded: (message) => controls.setWritten(message),
  refused({ error, fix }) {
    refusal = [error, fix].filter(Boolean).join(" ");
    notify(refusal, { warning: true });
  },
  ended() {
    setState("ended");
    controls.hindrance = "The source is over; play it again to record it.";
    const text = refusal || `${source.name} has been read to its end. To record it, play it again.`;
    showCard({ title: "The source is over", text }, ["Play it again", open]);
  },
  lost(reason) {
    setState("lost");
    controls.setRecording({ on: false });
    controls.hindrance = "There is no connection to sentio.";
    sender.reset();
    showCard(lostProblem(reason), ["Reconnect", connect]);
  },
});

function connect() {
  setState("connecting");
  hideCard();
  greeted = false;
  session.connect();
}

/** Begin, or begin anew with another model or with sound: persons are counted from 0 again. */
function open() {
  forget();
  refusal = "";
  opened_s = picture_s = source ? -Infinity : clock_s();
  session.send({ type: "open", sound: sounding, model });
  panels.setSound(sounding);
  setState("live");
  controls.reset();
  hideCard();
}

// Camera and microphone

const camera = new Camera(video, offerPicture, () => showProblem(UNPLUGGED));
const sender = new PictureSender(video, (time_s, bytes) => {
  if (state() !== "live") return false;
  readings.sent(time_s);
  session.sendMedia(PICTURE, time_s, bytes);
  return true;
});
const microphone = new Microphone(
  (time_s, bytes) => state() === "live" && session.sendMedia(SOUND, time_s, bytes),
  () => {
    notify("The microphone was unplugged. It goes on without sound.", { warning: true });
    voice = undefined;
    panels.setSound(false);
    changed = true;
  },
);

function askToStart() {
  setState("welcome");
  showCard(WELCOME, ["Start", () => start(at("with-sound").checked)], { sound: true });
}

function showProblem(problem, action = ["Try again", () => start(at("with-sound").checked)]) {
  setState("problem", problem.title.toLowerCase());
  controls.hindrance = "There are no pictures to record.";
  sender.reset();
  showCard(problem, action, { sound: Boolean(action) });
}

async function start(withSound) {
  setState("asking");
  hideCard();
  try {
    await camera.open();
  } catch (error) {
    showProblem(cameraProblem(error));
    return;
  }
  await listen(withSound, undefined);
  open();
}

/** Use a microphone, any if its id is not given, or none. */
async function listen(on, deviceId) {
  sounding = false;
  try {
    if (on) await microphone.open(deviceId);
    else await microphone.close();
    sounding = on;
  } catch (error) {
    await microphone.close();
    notify(microphoneProblem(error), { warning: true });
  }
  await refreshDevices();
}

async function refreshDevices() {
  await offerDevices(camera.deviceId, sounding ? microphone.deviceId : undefined);
  controls.hold();
}

navigator.mediaDevices?.addEventListener("devicechange", () => camera.deviceId && refreshDevices());

at("camera").addEventListener("change", async ({ target }) => {
  try {
    await camera.open(target.value);
    open();
  } catch (error) {
    showProblem(cameraProblem(error));
  }
});
at("microphone").addEventListener("change", async ({ target }) => {
  await listen(target.value !== "", target.value);
  open();
});
at("model").addEventListener("change", ({ target }) => {
  model = target.value;
  open();
});

let picture_s = 0; // time of the newest picture
let opened_s = 0; // older ones belong to what was open before

function offerPicture(time_s) {
  if (state() !== "live" || time_s <= picture_s) return;
  picture_s = time_s;
  sender.offer(time_s);
}

// The server's own source

function startSource() {
  sounding = source.sound;
  showSource(source);
  video.hidden = true;
  at("source").hidden = false;
  open();
}

async function showPicture(time_s, blob) {
  picture_s = time_s;
  const picture = await createImageBitmap(blob);
  const canvas = at("source");
  [canvas.width, canvas.height] = [picture.width, picture.height];
  canvas.getContext("2d").drawImage(picture, 0, 0);
  picture.close();
}

// Answers

const panels = new Panels();
const readings = new Readings();
const curves = new Curves(at("curves"));
const persons = new Persons(at("persons"), () => (changed = true), (person, name) => session.send({ type: "name", person, name }));
const controls = new Controls(session, () => (source ? picture_s : clock_s()));
let begun_s = null; // time of the first picture
let now_s = 0; // of the last answer, since then
let boxes = { rows: [], size: [1, 1], time_s: -Infinity };
let latest = new Map(); // person -> the last row
let histories = new Map();
let voice; // the last score
let changed = true;

function forget() {
  [begun_s, now_s, voice] = [null, 0, undefined];
  boxes = { rows: [], size: [1, 1], time_s: -Infinity };
  latest = new Map();
  histories = new Map();
  curves.events = [];
  persons.clear();
  sender.reset();
  readings.reset();
  changed = true;
}

function takeFrame({ time_s, size, rows, work_ms }) {
  if (time_s < opened_s) return;
  refusal = "";
  begun_s ??= time_s;
  now_s = time_s - begun_s;
  for (const row of rows) if (row.person !== null) takeRow(row);
  readings.answered(time_s, work_ms);
  if (rows.length) {
    const newest = rows.at(-1).time_s;
    boxes = { rows: rows.filter((row) => row.time_s === newest), size, time_s: now_s };
  } else if (now_s - boxes.time_s > BOXES_S) {
    boxes.rows = [];
  }
  at("nobody").hidden = latest.size > 0;
  changed = true;
  sender.answered();
}

function takeRow(row) {
  const moment = row.time_s - begun_s;
  latest.set(row.person, row);
  if (!histories.has(row.person)) histories.set(row.person, new History());
  histories.get(row.person).push(moment, row);
  persons.see(row.person, moment);
}

// Drawing

/** All that is shown of the person who is selected. */
function shown() {
  const person = persons.selected;
  const present = person !== null && persons.present(person, now_s);
  return {
    person,
    present,
    row: latest.get(person),
    history: histories.get(person),
    name: person === null ? "" : persons.name(person),
    count: persons.count(now_s),
    speaker: speaker() === undefined ? "" : persons.name(speaker()),
    voice,
    now_s,
  };
}

const label = (row) =>
  [persons.name(row.person), speaks(row) && "speaks", row.reason ?? row.expression?.toLowerCase()].filter(Boolean).join(" · ");

/** The person in the picture who speaks, if somebody is known to. */
const speaker = () => [...latest.keys()].find((person) => persons.present(person, now_s) && speaks(latest.get(person)));

function draw() {
  requestAnimationFrame(draw);
  if (!changed) return;
  changed = false;
  const what = shown();
  drawBoxes(at("boxes"), boxes.size, boxes.rows, persons.selected, label);
  curves.draw(what.history, now_s);
  panels.draw(what);
}

function write() {
  panels.write(shown());
  const word = (person) => latest.get(person)?.expression?.toLowerCase() ?? "–";
  persons.write(now_s, word, (person) => speaks(latest.get(person)));
  readings.write({ median: at("latency-median"), p95: at("latency-p95"), rate: at("rate"), dropped: at("dropped") }, sender.dropped);
  controls.tick();
}

function say() {
  const text = state() === "live" ? sentence(shown()) : "";
  if (at("summary").textContent !== text) at("summary").textContent = text;
}

at("boxes").addEventListener("click", ({ offsetX, offsetY }) => {
  const person = personAt(at("boxes"), boxes.size, boxes.rows, offsetX, offsetY);
  if (person !== undefined) persons.select(person);
});
new ResizeObserver(() => (changed = true)).observe(at("boxes"));

const help = () => at("help").showModal();
at("help-open").addEventListener("click", help);
const switchTheme = bindTheme(at("theme"), () => (changed = true));
bindKeys({
  " ": () => controls.pause(),
  r: () => controls.record(),
  m: () => controls.mark(),
  n: () => persons.focusName(),
  s: say,
  t: switchTheme,
  "?": help,
  ...Object.fromEntries([1, 2, 3, 4, 5, 6, 7, 8, 9].map((digit) => [digit, () => persons.selectPlace(digit - 1)])),
});

draw();
setInterval(write, WRITE_MS);
setInterval(say, SAY_MS);
connect();

// Pause, recording and event markers.

import { clock } from "./numbers.js";
import { notify, setState } from "./states.js";

const at = (id) => document.getElementById(id);
const HELD = ["camera", "microphone", "model"]; // what a recording holds fixed

/** The buttons of a session; `now_s()` is the time on the page's clock. */
export class Controls {
  paused = false;
  recording = false;
  #marks = 0;
  #started = 0;
  #hindrance = "";

  constructor(session, now_s) {
    this.session = session;
    this.now_s = now_s;
    this.hindrance = "There are no pictures yet.";
    at("pause").addEventListener("click", () => this.pause());
    at("record").addEventListener("click", () => this.record());
    at("mark").addEventListener("click", () => this.mark());
    at("mark-label").addEventListener("keydown", ({ key, target }) => {
      if (key !== "Enter") return;
      this.mark();
      target.blur();
    });
  }

  /** Say why there is nothing to pause or to record; "" if there is. */
  set hindrance(why) {
    this.#hindrance = why;
    for (const id of ["pause", "record"]) [at(id).disabled, at(id).title] = [Boolean(why), why];
  }

  /** Whether there is something to control; says why not. */
  #may() {
    if (this.#hindrance) notify(this.#hindrance, { warning: true });
    return !this.#hindrance;
  }

  pause() {
    if (!this.#may()) return;
    this.paused = !this.paused;
    this.session.send({ type: "pause", on: this.paused });
    at("pause").firstChild.data = this.paused ? "Go on " : "Pause ";
    setState(this.paused ? "paused" : "live");
  }

  record() {
    if (!this.#may()) return;
    const name = at("recording-name").value.trim();
    this.session.send({ type: "record", on: !this.recording, ...(name && !this.recording ? { name } : {}) });
  }

  mark() {
    if (!this.recording) {
      notify("Markers are kept in a recording; begin one first.", { warning: true });
      return;
    }
    this.session.send({ type: "event", time_s: this.now_s(), label: at("mark-label").value.trim() || "marker" });
  }

  /** The server has kept a mark. */
  countMark() {
    this.#count(this.#marks + 1);
  }

  /** The server says that a recording runs, or no longer. */
  setRecording({ on, seconds = 0 }) {
    if (on && !this.recording) this.#count(0);
    at("record").firstChild.data = on ? "End recording " : "Record ";
    this.recording = on;
    this.#started = performance.now() / 1000 - seconds;
    at("record").setAttribute("aria-pressed", on);
    at("recording").hidden = at("fixed").hidden = !on;
    this.hold();
    at("mark").disabled = !on;
    this.tick();
  }

  /** Show for how long it has been recording. */
  tick() {
    if (this.recording) at("recorded-time").textContent = clock(performance.now() / 1000 - this.#started);
  }

  /** Let choose, where there is a choice, and nothing is recorded. */
  hold() {
    for (const id of HELD) at(id).disabled = this.recording || at(id).length < 2;
  }

  #count(marks) {
    this.#marks = marks;
    at("marks").textContent = marks;
  }

  /** A new session: nothing is paused or recorded. */
  reset() {
    this.paused = false;
    at("pause").firstChild.data = "Pause ";
    this.setRecording({ on: false });
    this.hindrance = "";
  }

  /** The server has written a recording. */
  setWritten({ folder, files }) {
    notify(`Recorded: ${folder} (${files.join(", ")})`);
  }
}

// How quickly pictures are answered, how many, and how many are dropped.

import { NONE, quantile } from "./numbers.js";

const KEPT = 300;
const RATE_S = 2;

export class Readings {
  #sent = new Map(); // time of a picture -> when it was sent, in ms
  #latencies = [];
  #answers = []; // when answers came, in ms
  serverDropped = 0;

  sent(time_s) {
    this.#sent.set(time_s, performance.now());
  }

  /** The picture of this time is answered; one that the server read itself has taken `work_ms`. */
  answered(time_s, work_ms) {
    const now = performance.now();
    this.#answers = [...this.#answers.filter((moment) => moment > now - RATE_S * 1000), now];
    const latency = this.#sent.has(time_s) ? now - this.#sent.get(time_s) : work_ms;
    this.#latencies = [...this.#latencies.slice(1 - KEPT), latency];
    this.#sent.delete(time_s);
  }

  /** Nothing is on its way. */
  reset() {
    this.#sent.clear();
    this.#answers = [];
  }

  write(elements, dropped) {
    const sorted = this.#latencies.toSorted((one, other) => one - other);
    const milliseconds = (share) => (sorted.length ? quantile(sorted, share).toFixed(0) : NONE);
    elements.median.textContent = milliseconds(0.5);
    elements.p95.textContent = milliseconds(0.95);
    const recent = this.#answers.filter((moment) => moment > performance.now() - RATE_S * 1000);
    elements.rate.textContent = recent.length ? (recent.length / RATE_S).toFixed(0) : NONE;
    elements.dropped.textContent = dropped + this.serverDropped;
  }
}

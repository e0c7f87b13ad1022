// Valence and arousal of one person over the last half minute, the expression as a band below, events as lines.

import { colour } from "./colours.js";
import { clock } from "./numbers.js";

const SHOWN_S = 30;
const LOWEST = -1.34; // room for the band
const BAND = [-1.32, -1.16];
const EMPTY = [[], [], []];

/** Draws in `element`, which has a height; `events` are { time_s, label }. */
export class Curves {
  events = [];
  #history = null;
  #now_s = SHOWN_S;

  constructor(element) {
    this.element = element;
    this.#make();
    new ResizeObserver(() => {
      this.#plot.setSize({ width: element.clientWidth, height: element.clientHeight });
    }).observe(element);
  }

  #plot;

  /** Show a `History`, or null, up to this moment. */
  draw(history, now_s) {
    this.#history = history;
    this.#now_s = Math.max(now_s, SHOWN_S);
    this.#plot.setData(history ? [history.time_s, history.valence, history.arousal] : EMPTY);
  }

  #make() {
    const { clientWidth: width, clientHeight: height } = this.element;
    const axis = { stroke: () => colour("muted"), ticks: { show: false }, font: "11px system-ui, sans-serif" };
    const grid = { stroke: () => colour("line"), width: 1 };
    const curve = (name) => ({ stroke: () => colour(name), width: 1.75, points: { show: false } });
    const range = { x: () => [this.#now_s - SHOWN_S, this.#now_s], y: () => [LOWEST, 1] };
    this.#plot = new uPlot(
      {
        width,
        height,
        padding: [6, 16, 0, 0],
        legend: { show: false },
        cursor: { show: false },
        scales: { x: { time: false, range: range.x }, y: { range: range.y } },
        axes: [
          { ...axis, grid, size: 22, gap: 4, space: 70, incrs: [1, 2, 5, 10, 15], values: (_, ticks) => ticks.map(clock) },
          { ...axis, grid, size: 30, gap: 4, splits: () => [-1, 0, 1], values: () => ["−1", "0", "+1"] },
        ],
        series: [{}, curve("valence"), curve("arousal")],
        hooks: { draw: [() => this.#drawBand(), () => this.#drawEvents()] },
      },
      EMPTY,
      this.element,
    );
  }

  #drawBand() {
    const { time_s, expression } = this.#history ?? { time_s: [], expression: [] };
    const context = this.#plot.ctx;
    const [bottom, top] = BAND.map((value) => this.#plot.valToPos(value, "y", true));
    for (let begin = this.#firstShown(time_s); begin < time_s.length; ) {
      let end = begin + 1;
      while (end < time_s.length && expression[end] === expression[begin]) end += 1;
      if (expression[begin]) {
        const [left, right] = [time_s[begin], time_s[Math.min(end, time_s.length - 1)]].map((moment) => this.#x(moment));
        context.fillStyle = colour(expression[begin].toLowerCase());
        context.fillRect(left, top, right - left, bottom - top);
      }
      begin = end;
    }
  }

  #drawEvents() {
    const { ctx: context, bbox } = this.#plot;
    const dense = window.devicePixelRatio || 1;
    context.save();
    context.strokeStyle = context.fillStyle = colour("ink");
    context.font = `${11 * dense}px system-ui, sans-serif`;
    context.textAlign = "left";
    context.setLineDash([4 * dense, 3 * dense]);
    for (const { time_s, label } of this.events) {
      if (time_s < this.#now_s - SHOWN_S) continue;
      const x = this.#x(time_s);
      context.beginPath();
      context.moveTo(x, bbox.top);
      context.lineTo(x, bbox.top + bbox.height);
      context.stroke();
      context.fillText(label, x + 4 * dense, bbox.top + 11 * dense);
    }
    context.restore();
  }

  #firstShown(time_s) {
    const first = time_s.findIndex((moment) => moment >= this.#now_s - SHOWN_S);
    return first < 0 ? time_s.length : first;
  }

  #x(time_s) {
    const { left, width } = this.#plot.bbox;
    return Math.min(left + width, Math.max(left, this.#plot.valToPos(time_s, "x", true)));
  }
}

// The last minute of each person.

const KEPT_S = 60;
const GAP_S = 0.5; // a longer absence breaks the curve

/** Scores of one person over time, as parallel lists. */
export class History {
  time_s = [];
  valence = [];
  arousal = [];
  expression = [];

  push(time_s, { valence, arousal, expression }) {
    if (this.time_s.length && time_s - this.time_s.at(-1) > GAP_S) this.#append(this.time_s.at(-1) + 0.001, {});
    this.#append(time_s, { valence, arousal, expression });
    const old = this.time_s.findIndex((moment) => moment >= time_s - KEPT_S);
    if (old > 300) for (const list of this.#lists()) list.splice(0, old); // seldom, as it moves everything
  }

  #append(time_s, { valence = null, arousal = null, expression = null }) {
    this.time_s.push(time_s);
    this.valence.push(valence);
    this.arousal.push(arousal);
    this.expression.push(expression);
  }

  #lists() {
    return [this.time_s, this.valence, this.arousal, this.expression];
  }
}

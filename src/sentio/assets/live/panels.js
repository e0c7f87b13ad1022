// The scores of the moment: one person's panels, the voice, and a sentence that says them.

import { Bars, expressionBars, unitBars } from "./bars.js";
import { drawCircumplex } from "./circumplex.js";
import { plain, signed } from "./numbers.js";

const SPEAKS = 0.5; // probability of the one who speaks, as in sentio.affect.analysis.speaking; a test holds them together

const at = (id) => document.getElementById(id);
const PANELS = [".affect", ".expressions", ".units"].map((name) => document.querySelector(name));

/** Whether the person of a row is the one who speaks, which nobody knows without a microphone. */
export const speaks = (row) => (row.speaking ?? 0) >= SPEAKS;

/** Draws a row of the table; bars at once, numbers by `write`, so that they can be read. */
export class Panels {
  #expressions;
  #units;
  #speech = new Bars(at("voice-bars"), ["speech"], ["speech"]);

  /** The names and thresholds of this server's model. */
  setModel({ classes, units, thresholds }) {
    this.#expressions = expressionBars(at("expressions"), classes);
    this.#units = unitBars(at("units"), units, thresholds ?? {});
  }

  /** Draw a person's last row and history, each undefined where there is none. */
  draw({ row, history, person, voice, now_s, present }) {
    this.#expressions?.draw(row);
    this.#units?.draw(row);
    this.#speech.draw(voice);
    drawCircumplex(at("circumplex"), { history, person, voice, now_s });
    for (const panel of PANELS) panel.classList.toggle("stale", Boolean(row) && !present);
  }

  write({ row, name, speaker, voice, present }) {
    at("who").textContent = row ? name : "";
    at("valence").textContent = signed(row?.valence);
    at("arousal").textContent = signed(row?.arousal);
    at("quality").textContent = plain(row?.quality);
    at("reason").textContent = row ? (present ? (row.reason ?? "") : "not in the picture") : "";
    this.#expressions?.write(row, row?.expression && `p_${row.expression.toLowerCase()}`);
    this.#units?.write(row);
    this.#speech.write(voice);
    at("voice-valence").textContent = signed(voice?.valence);
    at("voice-arousal").textContent = signed(voice?.arousal);
    at("voice-expression").textContent = voice?.expression?.toLowerCase() ?? "–";
    if (voice) at("voice-state").textContent = voice.expression ? `${speaker || "somebody"} speaks` : "nobody speaks";
  }

  /** Whether sound is sent at all. */
  setSound(on) {
    at("voice-state").textContent = on ? "listening" : "no microphone: who speaks is unknown";
  }
}

/** The scores as a sentence, for those who hear them. */
export function sentence({ row, name, speaker, voice, present, count }) {
  if (!row || !present) return count ? `${name} is not in the picture` : "Nobody in the picture";
  if (row.valence === null) return `${name}: ${row.reason ?? "no scores"}`;
  const voiced = voice?.expression ? `. ${speaker || "Somebody"} speaks: ${voice.expression}` : "";
  const others = count > 1 ? `. ${count} persons` : "";
  return `${name}: ${row.expression}, valence ${row.valence.toFixed(1)}, arousal ${row.arousal.toFixed(1)}${voiced}${others}`;
}

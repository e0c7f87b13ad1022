// What the page holds: times of the frames, and for each person a byte for each value (see timeline.py).

const byId = id => document.getElementById(id);
const DATA = JSON.parse(byId("data").textContent);

function decode(text) {
  const letters = atob(text), values = new Uint8Array(letters.length);
  for (let i = 0; i < values.length; i++) values[i] = letters.charCodeAt(i);
  return values;
}

const times = Float64Array.from(new Uint32Array(decode(DATA.times).buffer), ticks => DATA.start + ticks * DATA.tick);

// The last frame that has begun at a time; the first one before all.
function frameAt(time) {
  let low = 0, high = times.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (times[middle] <= time + 1e-6) low = middle; else high = middle;
  }
  return low;
}

const endOf = frame => frame + 1 < times.length ? times[frame + 1] : DATA.end;

const NOBODY = 0, FIT = 1, UNFIT = 2, BRIDGED = 3;

// Values of a person or of the file: a byte for each frame from the first one that it has to the last, 0 where it has none.
class Track {
  constructor(packed) {
    const runs = packed.runs, last = runs[runs.length - 1];
    this.first = runs[0][0];
    this.length = last[0] + last[1] - this.first;
    this.columns = {};
    for (const [name, text] of Object.entries(packed.columns)) this.columns[name] = this.spread(runs, decode(text));
    this.state = new Uint8Array(this.length);
    const reasons = this.columns.reason;
    const kinds = [FIT, ...DATA.reasons.map(reason => reason.includes("bridged") ? BRIDGED : UNFIT)];
    for (const [first, count] of runs)
      for (let k = first - this.first; k < first - this.first + count; k++) this.state[k] = reasons ? kinds[reasons[k]] : FIT;
  }

  spread(runs, values) {
    const dense = new Uint8Array(this.length);
    let taken = 0;
    for (const [first, count] of runs) {
      dense.set(values.subarray(taken, taken + count), first - this.first);
      taken += count;
    }
    return dense;
  }

  // 0 where there is none; else 1 to 255, or one more than the number of a label.
  byte(name, frame) {
    return this.columns[name][frame - this.first] || 0;
  }

  // Null where there is none.
  value(name, frame, least = 0, greatest = 1) {
    const byte = this.byte(name, frame);
    return byte ? least + (byte - 1) / DATA.steps * (greatest - least) : null;
  }

  label(name, frame) {
    const byte = this.byte(name, frame);
    return byte ? DATA.expressions[byte - 1] : null;
  }

  reason(frame) {
    const byte = this.byte("reason", frame);
    return byte ? DATA.reasons[byte - 1] : null;
  }

  stateAt(frame) {
    return this.state[frame - this.first] || NOBODY;
  }
}

const persons = DATA.persons.map(packed => Object.assign(new Track(packed),
  { name: packed.name, number: packed.number, episodes: packed.episodes, speaks_s: packed.speaks_s }));
const whoSpeaksIsTold = persons.some(person => person.speaks_s !== null);
const speaks = (person, frame) => person.value("speaking", frame) >= DATA.speaks;
const voice = DATA.voice && new Track(DATA.voice);

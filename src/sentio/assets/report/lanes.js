// How values over frames become pixels: zoomed out a pixel shows the least and the greatest value of its frames, or the
// label that most of them have; zoomed in a frame is as wide as it lasts.

let COLOURS = {};

function readColours() {
  const style = getComputedStyle(document.documentElement);
  const names = ["page", "panel", "lane", "nobody", "line", "ink", "muted", "accent", "unit", "fit", "unfit", "bridged", "speaks",
    "valence", "arousal", ...DATA.expressions];
  COLOURS = Object.fromEntries(names.map(name => [name, style.getPropertyValue(`--${name}`).trim()]));
}

// A canvas of this height, as wide as it is shown, in pixels of the style.
function prepare(canvas, height) {
  const scale = window.devicePixelRatio || 1, width = canvas.clientWidth;
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const ink = canvas.getContext("2d");
  ink.setTransform(scale, 0, 0, scale, 0, 0);
  ink.clearRect(0, 0, width, height);
  return ink;
}

// The pixels of a stretch of time, and the first and the last frame on each; none before the file and behind it.
class Pixels {
  constructor(from, to, left, width) {
    Object.assign(this, { from, to, left, width, perPixel: (to - from) / width });
    this.first = new Int32Array(width).fill(1);
    this.last = new Int32Array(width);
    let frame = frameAt(from);
    for (let x = 0; x < width; x++) {
      const begin = from + x * this.perPixel, end = begin + this.perPixel;
      if (end <= DATA.start || begin >= DATA.end || !times.length) continue;
      while (frame + 1 < times.length && times[frame + 1] <= begin) frame++;
      this.first[x] = frame;
      let last = frame;
      while (last + 1 < times.length && times[last + 1] < end) last++;
      this.last[x] = last;
      frame = last;
    }
    this.firstFrame = frameAt(from);
    this.lastFrame = frameAt(to);
  }

  get zoomedIn() {
    return this.lastFrame - this.firstFrame < this.width / 2;
  }

  at(time) {
    return this.left + (time - this.from) / this.perPixel;
  }

  // Calls draw(x, width, value) for each stretch of pixels for which `valueAt(first frame, last frame)` is the same.
  stretches(valueAt, draw) {
    let begin = 0, value;
    for (let x = 0; x <= this.width; x++) {
      const here = x < this.width && this.first[x] <= this.last[x] ? valueAt(this.first[x], this.last[x]) : 0;
      if (here === value && x < this.width) continue;
      if (value) draw(this.left + begin, x - begin, value);
      begin = x;
      value = here;
    }
  }
}

// The most frequent byte of a column, or of a plain array of one, over frames; 0 is one of them.
function mostOf(values, offset, first, last, counts) {
  counts.fill(0);
  let most = values[first - offset] || 0;
  for (let frame = first; frame <= last; frame++) {
    const value = values[frame - offset] || 0;
    if (++counts[value] > counts[most]) most = value;
  }
  return most;
}

const COUNTS = new Uint32Array(256);

// The ground of a lane: darker where the person is not there.
function ground(ink, pixels, track, top, height) {
  ink.fillStyle = COLOURS.nobody;
  ink.fillRect(pixels.left, top, pixels.width, height);
  ink.fillStyle = COLOURS.lane;
  const isThere = (first, last) => {
    for (let frame = first; frame <= last; frame++) if (track.stateAt(frame)) return 1;
    return 0;
  };
  pixels.stretches(isThere, (x, width) => ink.fillRect(x, top, width, height));
}

// A line through the values of a column.
function curve(ink, pixels, track, column, top, height, colour) {
  const values = track.columns[column], y = byte => top + height * (1 - (byte - 1) / DATA.steps);
  ink.strokeStyle = ink.fillStyle = colour;
  ink.lineWidth = 1.6;
  ink.lineJoin = "round";
  ink.save();
  ink.beginPath();
  ink.rect(pixels.left, top - 2, pixels.width, height + 4);
  ink.clip();
  ink.beginPath();
  if (pixels.zoomedIn) stepByStep(ink, pixels, track, column, y);
  else {
    let before = null;
    for (let x = 0; x < pixels.width; x++) {
      let least = 256, greatest = 0;
      for (let frame = pixels.first[x]; frame <= pixels.last[x]; frame++) {
        const byte = values[frame - track.first];
        if (!byte) continue;
        if (byte < least) least = byte;
        if (byte > greatest) greatest = byte;
      }
      if (!greatest) { before = null; continue; }
      const place = pixels.left + x + .5;
      if (before === null) ink.moveTo(place - .5, y(greatest)); else ink.lineTo(place, y(greatest));
      ink.lineTo(place, y(least));
      before = least;
    }
  }
  ink.stroke();
  ink.restore();
}

// From frame to frame; each begins where it is shown first, and what comes last holds as long as its frame.
function stepByStep(ink, pixels, track, column, y) {
  let joined = false;
  for (let frame = pixels.firstFrame; frame <= pixels.lastFrame; frame++) {
    const byte = track.byte(column, frame);
    if (!byte) { joined = false; continue; }
    if (joined) ink.lineTo(pixels.at(times[frame]), y(byte)); else ink.moveTo(pixels.at(times[frame]), y(byte));
    if (!track.byte(column, frame + 1)) ink.lineTo(pixels.at(endOf(frame)), y(byte));
    joined = true;
  }
}

// Labels as blocks of colour, with their names where there is room.
function band(ink, pixels, track, column, top, height) {
  const values = track.columns[column];
  ink.font = "11px system-ui, sans-serif";
  ink.textAlign = "center";
  ink.textBaseline = "middle";
  pixels.stretches((first, last) => mostOf(values, track.first, first, last, COUNTS), (x, width, value) => {
    const label = DATA.expressions[value - 1];
    ink.fillStyle = COLOURS[label];
    ink.fillRect(x, top, width, height);
    if (height > 12 && width > 7 * label.length + 6) {
      ink.fillStyle = "#1b2129";
      ink.fillText(label, x + width / 2, top + height / 2 + .5);
    }
  });
}

// The quality of the face as a hill, in the colour of what is wrong with it.
function face(ink, pixels, track, top, height) {
  const colours = { [FIT]: COLOURS.fit, [UNFIT]: COLOURS.unfit, [BRIDGED]: COLOURS.bridged };
  const quality = track.columns.quality;
  const kindAndHeight = (first, last) => {
    const state = mostOf(track.state, track.first, first, last, COUNTS);
    let best = 0;
    for (let frame = first; frame <= last; frame++) best = Math.max(best, quality[frame - track.first] || 0);
    return state && state * 16 + (best ? Math.round(best / 255 * 14) + 1 : 15);
  };
  pixels.stretches(kindAndHeight, (x, width, value) => {
    const share = (value & 15) / 15;
    ink.fillStyle = colours[value >> 4];
    ink.fillRect(x, top + height * (1 - share), width, height * share);
    if (value >> 4 === BRIDGED) hatch(ink, x, top, width, height);
  });
}

function hatch(ink, x, top, width, height) {
  ink.save();
  ink.beginPath();
  ink.rect(x, top, width, height);
  ink.clip();
  ink.strokeStyle = COLOURS.panel;
  ink.beginPath();
  for (let k = Math.floor(x / 5) * 5 - height; k < x + width; k += 5) {
    ink.moveTo(k, top + height);
    ink.lineTo(k + height, top);
  }
  ink.stroke();
  ink.restore();
}

// The probability that somebody speaks, the greatest of each pixel, as a hill: full where it is the one who speaks.
function speech(ink, pixels, track, top, height) {
  const values = track.columns.speaking, least = DATA.speaks * DATA.steps;
  const level = (first, last) => {
    let greatest = 0;
    for (let frame = first; frame <= last; frame++) greatest = Math.max(greatest, values[frame - track.first] || 0);
    return greatest;
  };
  ink.fillStyle = COLOURS.speaks;
  pixels.stretches(level, (x, width, value) => {
    const isOne = value - 1 >= least, high = isOne ? height : height * (value - 1) / DATA.steps;
    ink.globalAlpha = isOne ? 1 : .5;
    ink.fillRect(x, top + height - high, width, high);
  });
  ink.globalAlpha = 1;
}

// A probability as depth of colour: the greatest of each pixel, so that what flashes up is seen.
function depth(ink, pixels, track, column, top, height, colour) {
  const values = track.columns[column];
  const level = (first, last) => {
    let greatest = 0;
    for (let frame = first; frame <= last; frame++) greatest = Math.max(greatest, values[frame - track.first] || 0);
    return greatest && Math.round((greatest - 1) / DATA.steps * 20);
  };
  ink.fillStyle = colour;
  pixels.stretches(level, (x, width, value) => {
    ink.globalAlpha = value / 20;
    ink.fillRect(x, top, width, height);
  });
  ink.globalAlpha = 1;
}

function spans(ink, pixels, stretches, top, height, colour) {
  ink.fillStyle = colour;
  for (const [start, end] of stretches) {
    const x = Math.max(pixels.left, pixels.at(start)), right = Math.min(pixels.left + pixels.width, pixels.at(end));
    if (right > x) ink.fillRect(x, top, Math.max(1, right - x), height);
  }
}

function writeName(ink, text, right, middle, colour = COLOURS.muted) {
  ink.font = "11px system-ui, sans-serif";
  ink.textAlign = "right";
  ink.textBaseline = "middle";
  ink.fillStyle = colour;
  ink.fillText(text, right, middle);
}

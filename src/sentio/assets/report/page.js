// The player, and what connects it with the drawing: a click seeks, the cursor follows, and so do the keys.

const player = buildPlayer();
let offset = DATA.begin; // what is added to the player's time to have that of the table
let untouched = true; // nobody has gone to another time yet

function buildPlayer() {
  const media = DATA.media;
  if (!media) return explain("There is no video to play with this. The timeline works without.");
  const element = document.createElement(media.pictures ? "video" : "audio");
  element.controls = true;
  element.preload = "auto";
  element.playsInline = true;
  element.addEventListener("error", () => explain(`This browser cannot play ${document.querySelector("h1").textContent} (${media.kind}),`
    + " or the file is no longer where it was when this report was made. The timeline works without it. To see it"
    + " here, keep file and report where they are; of a format that browsers do not know make an MP4 with H.264 and AAC."));
  element.addEventListener("loadedmetadata", () => {
    if (!media.pictures) goToStart();
    if (media.pictures && !element.videoWidth)
      explain(`This browser plays the sound of this file only (${media.kind}). The timeline works as ever.`, element);
  });
  // Most players count from the beginning of the container, some show the file's own stamps: the first picture tells.
  element.requestVideoFrameCallback?.((_, frame) => {
    if (!untouched) return;
    const found = DATA.first - frame.mediaTime;
    offset = Math.abs(found) < Math.abs(found - DATA.begin) ? 0 : DATA.begin;
    goToStart();
  });
  element.src = media.source === null ? URL.createObjectURL(embedded()) : media.source;
  byId("player").append(element);
  return element;
}

// Say why nothing is seen; `element` still plays its sound.
function explain(text, element) {
  const message = document.createElement("p");
  message.className = "message";
  message.textContent = text;
  byId("player").replaceChildren(message, ...(element ? [element] : []));
  if (element) element.style.height = "54px";
  else byId("play").disabled = true;
  return null;
}

// The file that the page holds.
function embedded() {
  const holder = byId("embedded"), text = holder.textContent, pieces = [], length = 1 << 22;
  for (let k = 0; k < text.length; k += length) pieces.push(decode(text.slice(k, k + length)));
  holder.textContent = "";
  return new Blob(pieces);
}

const isPlaying = () => canPlay() && !player.paused;
const canPlay = () => player && !player.error && byId("player").contains(player);

// Go to a time of the table.
function seek(time) {
  untouched = false;
  now.time = Math.min(Math.max(time, DATA.start), DATA.end - 1e-4);
  if (canPlay()) player.currentTime = Math.max(0, now.time - offset);
  if (now.time < view.from || now.time > view.to) show(now.time - (view.to - view.from) / 2, now.time + (view.to - view.from) / 2);
  showNow();
}

// To the middle of a frame, so that rounding does not show the one before it.
function seekFrame(frame) {
  const within = Math.min(Math.max(frame, 0), times.length - 1);
  seek((times[within] + endOf(within)) / 2);
}

// Of a file that is read from a later second on, or whose clock begins later, the beginning is not of interest.
function goToStart() {
  if (untouched && DATA.start - offset > player.currentTime + .05) seek(DATA.start); else follow();
}

// The player has moved.
function follow() {
  if (!canPlay() || player.seeking) return;
  now.time = player.currentTime + offset;
  const length = view.to - view.from;
  if (!player.paused && length < whole && (now.time > view.from + .95 * length || now.time < view.from))
    show(now.time - .1 * length, now.time + .9 * length);
  showNow();
}

function followWhilePlaying() {
  follow();
  if (isPlaying()) requestAnimationFrame(followWhilePlaying);
}

function togglePlay() {
  if (!canPlay()) return;
  if (player.paused) player.play(); else player.pause();
}

function connectPlayer() {
  if (!player) return;
  player.addEventListener("play", followWhilePlaying);
  for (const event of ["seeked", "timeupdate", "pause", "ended"]) player.addEventListener(event, follow);
  for (const event of ["play", "pause", "ended"])
    player.addEventListener(event, () => { byId("play").textContent = player.paused ? "Play" : "Pause"; });
}

function timeAt(event) {
  const box = byId("tracks").getBoundingClientRect(), left = gutter();
  const share = (event.clientX - box.left - left) / (box.width - left);
  return view.from + Math.min(1, Math.max(0, share)) * (view.to - view.from);
}

function connectTracks() {
  const tracks = byId("tracks");
  let pressed = false;
  tracks.addEventListener("pointerdown", event => {
    if (event.button) return;
    pressed = true;
    if (event.pointerType === "mouse") tracks.setPointerCapture(event.pointerId);
    seek(timeAt(event));
  });
  tracks.addEventListener("pointermove", event => { if (pressed) seek(timeAt(event)); });
  for (const end of ["pointerup", "pointercancel"]) tracks.addEventListener(end, () => { pressed = false; });
  tracks.addEventListener("wheel", event => {
    const length = view.to - view.from;
    if (event.ctrlKey || event.metaKey) zoom(Math.exp(Math.sign(event.deltaY) * .3), timeAt(event));
    else if (Math.abs(event.deltaX) > Math.abs(event.deltaY) && length < whole)
      show(view.from + event.deltaX * length / 1000, view.to + event.deltaX * length / 1000);
    else return;
    event.preventDefault();
  }, { passive: false });
}

function connectOverview() {
  const overview = byId("overview");
  let pressed = false;
  const go = event => {
    const box = overview.getBoundingClientRect(), length = view.to - view.from;
    const time = DATA.start + (event.clientX - box.left) / box.width * whole;
    if (length < whole) show(time - length / 2, time + length / 2); else seek(time);
  };
  overview.addEventListener("pointerdown", event => { pressed = true; overview.setPointerCapture(event.pointerId); go(event); });
  overview.addEventListener("pointermove", event => { if (pressed) go(event); });
  for (const end of ["pointerup", "pointercancel"]) overview.addEventListener(end, () => { pressed = false; });
}

const KEYS = {
  ArrowLeft: event => event.shiftKey ? seek(now.time - 1) : seekFrame(frameAt(now.time) - 1),
  ArrowRight: event => event.shiftKey ? seek(now.time + 1) : seekFrame(frameAt(now.time) + 1),
  PageUp: () => seek(now.time - 10),
  PageDown: () => seek(now.time + 10),
  Home: () => seekFrame(0),
  End: () => seekFrame(times.length - 1),
  " ": togglePlay,
  "+": () => zoom(.5),
  "=": () => zoom(.5),
  "-": () => zoom(2),
  "0": () => show(DATA.start, DATA.end),
};

function connectKeys() {
  document.addEventListener("keydown", event => {
    const here = event.target === document.body || event.target === byId("tracks");
    if (!here || event.ctrlKey || event.metaKey || event.altKey || !(event.key in KEYS)) return;
    KEYS[event.key](event);
    event.preventDefault();
  });
  byId("play").addEventListener("click", togglePlay);
  byId("in").addEventListener("click", () => zoom(.5));
  byId("out").addEventListener("click", () => zoom(2));
  byId("all").addEventListener("click", () => show(DATA.start, DATA.end));
}

function buildLegend() {
  const kinds = persons.length ? [["fit", "face fit"], ["unfit", "not fit"]] : [];
  if (DATA.reasons.some(reason => reason.includes("bridged"))) kinds.push(["bridged", "bridged"]);
  if (whoSpeaksIsTold) kinds.push(["speaks", "speaks"]);
  for (const [colour, text] of [["valence", "valence"], ["arousal", "arousal"], ...DATA.expressions.map(label => [label, label]), ...kinds]) {
    const entry = document.createElement("li"), mark = document.createElement("i");
    mark.style.background = `var(--${colour})`;
    if (colour === "valence" || colour === "arousal") mark.className = "curve";
    entry.append(mark, text);
    byId("legend").append(entry);
  }
}

function build() {
  byId("stage").hidden = byId("drawing").hidden = false;
  readColours();
  buildNow();
  buildLegend();
  for (const person of persons) addPerson(person);
  if (voice) addBlock("voice", "whoever speaks", () => CURVE + BAND + FACE + 2 * GAP, drawVoice);
  if (!persons.length) byId("stage").classList.add("empty");
  byId("tracks").setAttribute("aria-valuemax", (DATA.end - DATA.start).toFixed(3));
  const redraw = () => { readColours(); drawOverview(); draw(); showNow(); };
  new ResizeObserver(redraw).observe(byId("tracks").parentElement);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  connectPlayer();
  connectTracks();
  connectOverview();
  connectKeys();
  redraw();
}

build();

// What the page is about at the moment: a word in the head, a card over the picture, a notice below it.

const at = (id) => document.getElementById(id);

const WORDS = {
  connecting: "Connecting",
  welcome: "Ready",
  asking: "Waiting for permission",
  live: "Live",
  paused: "Paused",
  problem: "No camera",
  lost: "Not connected",
  ended: "Source over",
};

/** Go to a state of `WORDS`; `detail` is added to its word. */
export function setState(state, detail = "") {
  document.body.dataset.state = state;
  at("state").textContent = detail ? `${WORDS[state]}: ${detail}` : WORDS[state];
  at("paused").hidden = state !== "paused";
}

/** The state of the moment. */
export function state() {
  return document.body.dataset.state;
}

/** Show a card; `action` is [label, function], or null. `sound` asks whether to use the microphone. */
export function showCard({ title, text }, action, { sound = false } = {}) {
  at("card-title").textContent = title;
  at("card-text").textContent = text;
  at("card-sound").hidden = !sound;
  const button = at("card-action");
  button.hidden = !action;
  if (action) [button.textContent, button.onclick] = action;
  at("card").hidden = false;
  if (action) button.focus({ preventScroll: true });
}

export function hideCard() {
  at("card").hidden = true;
}

/** Say something below the picture, until it is closed or something else is said. */
export function notify(text, { warning = false } = {}) {
  const notice = at("notice");
  notice.classList.toggle("warning", warning);
  notice.querySelector("span").textContent = text;
  notice.hidden = false;
}

at("notice").querySelector("button").addEventListener("click", () => (at("notice").hidden = true));

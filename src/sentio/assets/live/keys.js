// The keyboard: one key, one action, unless a field is being written in.

const WRITTEN_IN = "input[type=text], select, textarea";

/** `actions` has a function by key; letters are small. */
export function bindKeys(actions) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    if (event.target.matches?.(WRITTEN_IN) || document.querySelector("dialog[open]")) return;
    if (event.key === " " && event.target.matches?.("button, input")) return; // which it presses
    const action = actions[event.key.toLowerCase()];
    if (!action) return;
    event.preventDefault();
    action();
  });
}

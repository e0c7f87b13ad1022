// What stands in the way, and what to do about it, in words.

/** Why the camera cannot be had, as { title, text }. */
export function cameraProblem(error) {
  switch (error.name) {
    case "NotAllowedError":
      return error.message.includes("system")
        ? { title: "The system refuses the camera", text: "Let the browser use the camera in the system's settings (privacy), then try again." }
        : { title: "The camera was refused", text: "Allow the camera for this page (the sign beside its address leads there), then try again." };
    case "NotFoundError":
    case "OverconstrainedError":
      return { title: "There is no camera", text: "Plug one in and try again, or end sentio and play a file: sentio live --source clip.mp4" };
    case "NotReadableError":
    case "AbortError":
      return { title: "The camera is busy", text: "Another program or page uses it. Close that one (a call, another tab), then try again." };
    default:
      return { title: "The camera cannot be opened", text: `The browser says: ${error.message}` };
  }
}

/** Why there is no sound, and that it goes on without. */
export function microphoneProblem(error) {
  const reasons = {
    NotAllowedError: "The microphone was refused. Allow it for this page, then choose it below Input and model.",
    NotFoundError: "There is no microphone. Plug one in, then choose it below Input and model.",
    OverconstrainedError: "This microphone is gone. Choose another below Input and model.",
    NotReadableError: "The microphone is busy. Close what uses it, then choose it below Input and model.",
    NotSupportedError: "This browser cannot bring the microphone to 16 kHz; Chromium, Chrome and Edge can.",
  };
  return `${reasons[error.name] ?? `The microphone cannot be opened: ${error.message}.`} It goes on without sound.`;
}

export const UNPLUGGED = { title: "The camera is gone", text: "It was unplugged or switched off. Plug it in, then try again." };
export const WELCOME = {
  title: "Camera and microphone",
  text: "The browser will ask whether this page may use them. Pictures and sound go to the sentio process of this machine and nowhere else; nothing is kept unless you record.",
};
export const TOO_OLD = { title: "This browser is too old", text: "Use Chromium, Chrome, Edge, Safari or Firefox of 2025 or later." };
export const NOT_LOCAL = {
  title: "No camera for this address",
  text: "Browsers give cameras to pages of this machine only. Open the address that sentio live has printed, with 127.0.0.1.",
};

/** Why there is no connection. */
export function lostProblem({ opened, reason }) {
  if (!opened) {
    return { title: "No connection to sentio", text: `${reason || "It does not run, or was started anew."} Open the address that sentio live prints.` };
  }
  return {
    title: "The connection was lost",
    text: `${reason ? `sentio says: ${reason} ` : "Has sentio been ended? "}What was recorded until now has been written. Reconnect, or open the address that sentio live prints.`,
  };
}

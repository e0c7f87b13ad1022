// The connection to sentio: one WebSocket is one session. docs/live.md describes the messages.

export const PICTURE = 1;
export const SOUND = 2;
const HEADER_BYTES = 16; // kind, seven zeros, float64 time in seconds
const MEANT = 1000; // close code of an end that was wanted

/** Takes messages to and from the server; `handlers` has a function for each type of message, and `picture`, `lost`. */
export class Session {
  #socket = null;

  constructor(token, handlers) {
    this.address = `ws://${location.host}/session?token=${encodeURIComponent(token)}`;
    this.handlers = handlers;
  }

  connect() {
    const socket = new WebSocket(this.address);
    socket.binaryType = "arraybuffer";
    let opened = false;
    socket.onopen = () => (opened = true);
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code, reason }) => {
      if (socket !== this.#socket) return;
      this.#socket = null;
      if (code !== MEANT) this.handlers.lost({ opened, reason });
    };
    this.#socket = socket;
  }

  get open() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  send(message) {
    if (this.open) this.#socket.send(JSON.stringify(message));
  }

  /** Send `payload`, an ArrayBuffer, captured at `time_s` on the page's clock. */
  sendMedia(kind, time_s, payload) {
    if (!this.open) return;
    const message = new Uint8Array(HEADER_BYTES + payload.byteLength);
    const header = new DataView(message.buffer);
    header.setUint8(0, kind);
    header.setFloat64(8, time_s, true);
    message.set(new Uint8Array(payload), HEADER_BYTES);
    this.#socket.send(message);
  }

  #receive(data) {
    if (typeof data !== "string") {
      const time_s = new DataView(data).getFloat64(8, true);
      this.handlers.picture(time_s, new Blob([new Uint8Array(data, HEADER_BYTES)], { type: "image/jpeg" }));
      return;
    }
    const message = JSON.parse(data);
    this.handlers[message.type]?.(message);
  }
}

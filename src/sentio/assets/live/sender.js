// One picture is on its way at a time; of those that come meanwhile the newest waits and the others are dropped.

const LONGEST_SIDE = 960;

/** Sends pictures of `video` by `send(time_s, bytes)`, which says whether it did. */
export class PictureSender {
  #encoder = new Worker("assets/encoder.js");
  #busy = false;
  #waiting = null; // time of the picture on show that has not been sent
  #round = 0; // pictures encoded before a reset are not sent after it

  constructor(video, send) {
    this.video = video;
    this.dropped = 0;
    this.#encoder.onmessage = ({ data }) => {
      if (data.round === this.#round && !send(data.time_s, data.bytes)) this.reset();
    };
  }

  /** A new picture, captured at `time_s`, is on show. */
  offer(time_s) {
    if (!this.#busy) {
      this.#encode(time_s);
      return;
    }
    if (this.#waiting !== null) this.dropped += 1;
    this.#waiting = time_s;
  }

  /** The picture on its way has been answered. */
  answered() {
    this.#busy = false;
    if (this.#waiting === null) return;
    const time_s = this.#waiting;
    this.#waiting = null;
    this.#encode(time_s);
  }

  /** Nothing is on its way, and nothing waits. */
  reset() {
    this.#busy = false;
    this.#waiting = null;
    this.#round += 1;
  }

  async #encode(time_s) {
    this.#busy = true;
    const round = this.#round;
    const { videoWidth, videoHeight } = this.video;
    const scale = Math.min(1, LONGEST_SIDE / Math.max(videoWidth, videoHeight));
    const size = { resizeWidth: Math.round(videoWidth * scale), resizeHeight: Math.round(videoHeight * scale) };
    try {
      const picture = await createImageBitmap(this.video, size);
      this.#encoder.postMessage({ picture, time_s, round }, [picture]);
    } catch {
      if (round === this.#round) this.#busy = false; // the camera has just been closed
    }
  }
}

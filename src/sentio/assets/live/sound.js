// The browser's microphone as blocks of 16 kHz sound, timed on the page's clock.

const RATE = 16000;
const RAW = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };
const RECENT = 80; // blocks, about five seconds, whose delays are compared
const SEAM_S = 0.04; // a smaller difference of the two clocks is left alone

/** Calls `onBlock(time_s, bytes)` with int16 samples, and `onEnded()` if the microphone is unplugged. */
export class Microphone {
  #stream = null;
  #context = null;

  constructor(onBlock, onEnded) {
    this.onBlock = onBlock;
    this.onEnded = onEnded;
  }

  /** Open the microphone of this id, or any; throws what the browser says against it. */
  async open(deviceId) {
    await this.close();
    const audio = deviceId ? { ...RAW, deviceId: { exact: deviceId } } : RAW;
    this.#stream = await navigator.mediaDevices.getUserMedia({ audio });
    const [track] = this.#stream.getAudioTracks();
    this.deviceId = track.getSettings().deviceId;
    track.onended = () => {
      this.close();
      this.onEnded();
    };
    const context = new AudioContext({ sampleRate: RATE });
    this.#context = context;
    await context.audioWorklet.addModule("assets/sound-worklet.js");
    await context.resume();
    const node = new AudioWorkletNode(context, "blocks", { numberOfOutputs: 0 });
    const clock = new BlockClock();
    node.port.onmessage = ({ data }) => {
      const time_s = clock.time(data.byteLength / 2, performance.now() / 1000);
      if (time_s !== null) this.onBlock(time_s, data);
    };
    context.createMediaStreamSource(this.#stream).connect(node);
  }

  async close() {
    this.#stream?.getTracks().forEach((track) => track.stop());
    const context = this.#context;
    this.#stream = this.#context = null;
    await context?.close();
  }
}

/** Blocks follow each other without a seam, unless sound was lost or the sound card's clock runs off the page's. */
class BlockClock {
  #next = null; // seconds at which the next block begins
  #late = []; // by how much the last blocks came later than that
  #last = -Infinity;

  /** When a block began that has just arrived; null if that was set right so far back that it has been told already. */
  time(samples, arrived_s) {
    const begin = arrived_s - samples / RATE;
    this.#next ??= begin;
    this.#late = [...this.#late.slice(1 - RECENT), begin - this.#next];
    const least = Math.min(...this.#late); // a block may come late, but never early
    if (least < -SEAM_S || (least > SEAM_S && this.#late.length === RECENT)) {
      this.#next += least;
      this.#late = [];
    }
    const time_s = this.#next;
    this.#next += samples / RATE;
    if (time_s <= this.#last) return null;
    this.#last = time_s;
    return time_s;
  }
}

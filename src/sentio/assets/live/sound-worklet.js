// In the audio thread: samples become blocks of 1024, int16, mono.

const SAMPLES = 1024;

class Blocks extends AudioWorkletProcessor {
  #block = new Int16Array(SAMPLES);
  #filled = 0;

  process([channels]) {
    const count = channels[0]?.length ?? 0;
    for (let sample = 0; sample < count; sample += 1) {
      let sum = 0;
      for (const channel of channels) sum += channel[sample];
      const value = Math.max(-1, Math.min(1, sum / channels.length));
      this.#block[this.#filled] = Math.round(value * 32767);
      this.#filled += 1;
      if (this.#filled === SAMPLES) this.#post();
    }
    return true;
  }

  #post() {
    this.port.postMessage(this.#block.buffer, [this.#block.buffer]);
    this.#block = new Int16Array(SAMPLES);
    this.#filled = 0;
  }
}

registerProcessor("blocks", Blocks);

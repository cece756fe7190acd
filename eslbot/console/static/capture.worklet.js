// Microphone to frames: 20 ms of L16 at the call's rate, and how loud they are.

import { Resampler } from "./resample.js";

class Capture extends AudioWorkletProcessor {
  constructor(options) {
    super();
    const { rate } = options.processorOptions;
    this.resampler = new Resampler(sampleRate, rate);
    this.frame = new Int16Array(rate / 50);
    this.filled = 0;
    this.sum = 0;
  }

  process([input]) {
    if (!input[0]) return true;
    for (const sample of this.resampler.push(input[0])) {
      const clipped = Math.max(-1, Math.min(1, sample));
      this.sum += clipped * clipped;
      this.frame[this.filled++] = Math.round(clipped * 32767);
      if (this.filled === this.frame.length) this.send();
    }
    return true;
  }

  send() {
    const frame = this.frame.buffer.slice(0);
    const level = Math.sqrt(this.sum / this.filled);
    this.port.postMessage({ frame, level }, [frame]);
    this.filled = 0;
    this.sum = 0;
  }
}

registerProcessor("capture", Capture);

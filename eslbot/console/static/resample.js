// Streaming conversion of a sample rate: windowed sinc, cut off at the lower rate's half.

const CROSSINGS = 12; // of the sinc, on each side
const PHASES = 256;

/** Both rates in Hz, any; mono. push(Float32Array) gives what can be told so far. */
export class Resampler {
  constructor(from, to) {
    this.same = from === to;
    this.step = from / to;
    const cut = 0.94 * Math.min(1, to / from);
    this.half = Math.ceil(CROSSINGS / cut);
    this.table = Resampler.table(this.half, cut);
    this.kept = new Float32Array(2 * this.half);
    this.at = this.half; // of the next output, in samples of kept
  }

  static table(half, cut) {
    const taps = 2 * half;
    const table = new Float32Array((PHASES + 1) * taps);
    for (let phase = 0; phase <= PHASES; phase++) {
      let sum = 0;
      for (let tap = 0; tap < taps; tap++) {
        const x = tap - half + 1 - phase / PHASES;
        const sinc = x === 0 ? cut : Math.sin(Math.PI * cut * x) / (Math.PI * x);
        const window = Math.abs(x) < half ? 0.5 + 0.5 * Math.cos((Math.PI * x) / half) : 0;
        sum += table[phase * taps + tap] = sinc * window;
      }
      for (let tap = 0; tap < taps; tap++) table[phase * taps + tap] /= sum;
    }
    return table;
  }

  push(input) {
    if (this.same) return input;
    const all = new Float32Array(this.kept.length + input.length);
    all.set(this.kept);
    all.set(input, this.kept.length);
    const taps = 2 * this.half;
    const count = Math.max(0, Math.ceil((all.length - this.half - this.at) / this.step));
    const output = new Float32Array(count);
    let written = 0;
    while (written < count && Math.floor(this.at) + this.half < all.length) {
      const whole = Math.floor(this.at);
      const row = Math.round((this.at - whole) * PHASES) * taps;
      const first = whole - this.half + 1;
      let sum = 0;
      for (let tap = 0; tap < taps; tap++) sum += all[first + tap] * this.table[row + tap];
      output[written++] = sum;
      this.at += this.step;
    }
    const drop = Math.max(0, Math.floor(this.at) - this.half);
    this.kept = all.slice(drop);
    this.at -= drop;
    return output.subarray(0, written);
  }
}

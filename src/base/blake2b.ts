// BLAKE2b without a key, of any digest length: btrfs uses 32 bytes, which node:crypto cannot make (it is no prefix of 64).
// Invariant: words are pairs of 32-bit halves, low first; BigInt would be a hundred times slower.
// Source: RFC 7693.

const BLOCK_LENGTH = 128;
const ROUNDS = 12;

const IV = Uint32Array.of(
  ...[0xf3bcc908, 0x6a09e667, 0x84caa73b, 0xbb67ae85, 0xfe94f82b, 0x3c6ef372, 0x5f1d36f1, 0xa54ff53a],
  ...[0xade682d1, 0x510e527f, 0x2b3e6c1f, 0x9b05688c, 0xfb41bd6b, 0x1f83d9ab, 0x137e2179, 0x5be0cd19],
);

const SIGMA: readonly (readonly number[])[] = [
  [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
  [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
  [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
  [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
  [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
  [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
  [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
  [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
  [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
  [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
];

/** Columns, then diagonals, of the 4 × 4 state. */
const MIXED: readonly (readonly [number, number, number, number])[] = [
  [0, 4, 8, 12],
  [1, 5, 9, 13],
  [2, 6, 10, 14],
  [3, 7, 11, 15],
  [0, 5, 10, 15],
  [1, 6, 11, 12],
  [2, 7, 8, 13],
  [3, 4, 9, 14],
];

/** `length` is 1 to 64 bytes. */
export function blake2b(bytes: Buffer, length: number): Buffer {
  const hash = IV.slice();
  hash[0] = half(hash, 0) ^ 0x01010000 ^ length;
  const blocks = Math.max(1, Math.ceil(bytes.length / BLOCK_LENGTH));
  const message = new Uint32Array(BLOCK_LENGTH / 4);
  for (let index = 0; index < blocks; index += 1) {
    const end = Math.min((index + 1) * BLOCK_LENGTH, bytes.length);
    let block = bytes.subarray(index * BLOCK_LENGTH, end);
    if (block.length < BLOCK_LENGTH) block = Buffer.concat([block, Buffer.alloc(BLOCK_LENGTH - block.length)]);
    for (let word = 0; word < message.length; word += 1) message[word] = block.readUInt32LE(word * 4);
    compress(hash, message, { end, last: index === blocks - 1 });
  }
  const digest = Buffer.alloc(64);
  for (const [index, word] of hash.entries()) digest.writeUInt32LE(word, index * 4);
  return digest.subarray(0, length);
}

function compress(hash: Uint32Array, message: Uint32Array, { end, last }: { end: number; last: boolean }): void {
  const state = new Uint32Array(32);
  state.set(hash);
  state.set(IV, 16);
  state[24] = half(state, 24) ^ (end % 2 ** 32);
  state[25] = half(state, 25) ^ Math.floor(end / 2 ** 32);
  if (last) {
    state[28] = ~half(state, 28);
    state[29] = ~half(state, 29);
  }
  for (let round = 0; round < ROUNDS; round += 1) {
    const order = SIGMA[round % SIGMA.length] ?? [];
    for (let step = 0; step < MIXED.length; step += 1) {
      const [a, b, c, d] = MIXED[step] ?? [0, 0, 0, 0];
      add(state, 2 * a, state, 2 * b);
      add(state, 2 * a, message, 2 * (order[2 * step] ?? 0));
      xorRotate(state, 2 * d, 2 * a, 32);
      add(state, 2 * c, state, 2 * d);
      xorRotate(state, 2 * b, 2 * c, 24);
      add(state, 2 * a, state, 2 * b);
      add(state, 2 * a, message, 2 * (order[2 * step + 1] ?? 0));
      xorRotate(state, 2 * d, 2 * a, 16);
      add(state, 2 * c, state, 2 * d);
      xorRotate(state, 2 * b, 2 * c, 63);
    }
  }
  for (let index = 0; index < 16; index += 1) {
    hash[index] = half(hash, index) ^ half(state, index) ^ half(state, index + 16);
  }
}

/** 64-bit addition into `state` at `to`. */
function add(state: Uint32Array, to: number, from: Uint32Array, at: number): void {
  const low = half(state, to) + half(from, at);
  state[to] = low;
  state[to + 1] = half(state, to + 1) + half(from, at + 1) + (low >= 2 ** 32 ? 1 : 0);
}

/** 64-bit `state[to] = (state[to] ^ state[at]) >>> bits`, rotating. */
function xorRotate(state: Uint32Array, to: number, at: number, bits: number): void {
  let low = half(state, to) ^ half(state, at);
  let high = half(state, to + 1) ^ half(state, at + 1);
  if (bits >= 32) [low, high] = [high, low];
  const by = bits % 32;
  state[to] = by === 0 ? low : (low >>> by) | (high << (32 - by));
  state[to + 1] = by === 0 ? high : (high >>> by) | (low << (32 - by));
}

function half(words: Uint32Array, index: number): number {
  return words[index] ?? 0;
}

// Memory that direct I/O accepts. Node's own Buffers lie anywhere, and the kernel answers EINVAL to them.

import type { Bytes } from '../base/units.js';
import { binding } from './binding.js';

const aligned = new WeakSet<ArrayBufferLike>();

/** A zero-filled Buffer whose first byte lies on a 2 MiB boundary. Allocate once and reuse: it maps memory of its own. */
export function allocateAligned(length: Bytes): Buffer {
  const memory = binding.allocateAligned(length);
  aligned.add(memory);
  return Buffer.from(memory);
}

/** True if `bytes` starts on a multiple of `unit` in memory that `allocateAligned` made. */
export function isAligned(bytes: Buffer, unit: Bytes): boolean {
  return aligned.has(bytes.buffer) && bytes.byteOffset % unit === 0;
}

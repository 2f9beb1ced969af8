// An image in memory without its zeros: large ones that are mostly empty cost little.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

const PIECE = 65536;

export class SparseBytes {
  readonly size: number;
  readonly #pieces = new Map<number, Buffer>();

  constructor(size: number) {
    this.size = size;
  }

  static ofFile(path: string): SparseBytes {
    const fd = openSync(path, 'r');
    try {
      const bytes = new SparseBytes(fstatSync(fd).size);
      const zeros = Buffer.alloc(PIECE);
      for (let index = 0; index * PIECE < bytes.size; index += 1) {
        const piece = Buffer.alloc(PIECE);
        readSync(fd, piece, 0, PIECE, index * PIECE);
        if (!piece.equals(zeros)) bytes.#pieces.set(index, piece);
      }
      return bytes;
    } finally {
      closeSync(fd);
    }
  }

  read(into: Buffer, offset: number): void {
    this.#each(into.length, offset, (index, from, at, length) => {
      const piece = this.#pieces.get(index);
      if (piece) piece.copy(into, at, from, from + length);
      else into.fill(0, at, at + length);
    });
  }

  write(from: Buffer, offset: number): void {
    this.#each(from.length, offset, (index, to, at, length) => {
      const piece = this.#pieces.get(index) ?? Buffer.alloc(PIECE);
      this.#pieces.set(index, piece);
      from.copy(piece, to, at, at + length);
    });
  }

  #each(
    length: number,
    offset: number,
    visit: (index: number, inPiece: number, at: number, length: number) => void,
  ): void {
    for (let at = 0; at < length; ) {
      const inPiece = (offset + at) % PIECE;
      const part = Math.min(PIECE - inPiece, length - at);
      visit(Math.floor((offset + at) / PIECE), inPiece, at, part);
      at += part;
    }
  }
}

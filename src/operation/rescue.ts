// A run that goes on over unreadable sectors: what it keeps, how often it tries, what it tells, and its mapfile.
// Invariant: the mapfile is written however the run ends, if anything was unreadable.

import { join } from 'node:path';
import type { Report } from '../base/report.js';
import { ToolError } from '../base/tool-error.js';
import { formatBytes } from '../base/units.js';
import type { PlacedVolume } from '../engine/commit.js';
import type { RescueOptions, RescuePass } from '../engine/rescue-passes.js';
import { writeMapfile } from '../state/mapfile.js';
import type { PreparedClone, Unreadable } from './clone-types.js';
import { rescueMap } from './rescue-map.js';
import { keepPieces, type PieceHole } from './rescue-pieces.js';
import { keptExtents, type RescueFindings, unreadable } from './rescue-report.js';
import type { Session } from './session.js';
import type { Rescued } from './session-record.js';

const MAPFILE = 'rescue.mapfile';

export class Rescue {
  readonly #prepared: PreparedClone;
  readonly #session: Session;
  #placed: readonly PlacedVolume[] = [];
  #pieceHoles: readonly PieceHole[] = [];

  constructor(prepared: PreparedClone, session: Session) {
    this.#prepared = prepared;
    this.#session = session;
  }

  /** Before the pieces become volumes, and before the marker covers what the target holds of them. */
  async keepPieces(): Promise<void> {
    const { volumes, former } = this.#session;
    const isOurs = volumes.some(({ origin }) => origin?.at !== undefined);
    this.#pieceHoles = await keepPieces(this.#prepared.layout.pieces, isOurs ? former : undefined);
  }

  useVolumes(placed: readonly PlacedVolume[]): void {
    this.#placed = placed;
  }

  passes(report: Report): RescueOptions {
    const { retries = 1, seconds = Number.POSITIVE_INFINITY } = this.#prepared.rescue ?? {};
    const onPass = (pass: RescuePass): void => {
      report({ event: 'phase', phase: 'rescue', message: described(pass, retries) });
    };
    return { retries, seconds, onPass };
  }

  /** For the record; undefined if nothing was unreadable. */
  rescued(): Rescued | undefined {
    return this.#isDamaged() ? { kept: keptExtents(this.#findings()) } : undefined;
  }

  /** The run is committed: a mapfile that cannot be written does not undo that, but is told in `warnings`. */
  async finish(warnings: string[]): Promise<Unreadable | undefined> {
    const found = await unreadable(this.#findings());
    let mapfile = '';
    try {
      mapfile = await this.#write(true);
    } catch (error) {
      if (!(error instanceof ToolError)) throw error;
      warnings.push(`there is no mapfile: ${error.message}`);
    }
    return found && { ...found, mapfile };
  }

  /** The run has failed; why is more important than a mapfile that cannot be written either. */
  async interrupted(): Promise<void> {
    await this.#write(false).catch(() => undefined);
  }

  #findings(): RescueFindings {
    const { volumes } = this.#session;
    return { prepared: this.#prepared, placed: this.#placed, records: volumes, pieceHoles: this.#pieceHoles };
  }

  #isDamaged(): boolean {
    const { tableHoles } = this.#prepared.layout;
    const damaged = this.#placed.some(({ volume: { rescue } }) => {
      return rescue && (rescue.damage.holes().length > 0 || rescue.damage.postponed().length > 0);
    });
    return damaged || this.#pieceHoles.length > 0 || tableHoles.length > 0;
  }

  /** Where it was written, or would have been. */
  async #write(finished: boolean): Promise<string> {
    const { rescue, source } = this.#prepared;
    const path = rescue?.mapfile ?? join(this.#session.folder, MAPFILE);
    if (this.#isDamaged() || rescue?.mapfile !== undefined) {
      const extents = rescueMap(this.#prepared, this.#placed);
      await writeMapfile(path, { size: source.identity.size, extents, finished });
    }
    return path;
  }
}

function described({ kind, number, bytes }: RescuePass, retries: number): string {
  return kind === 'split'
    ? `going over ${formatBytes(bytes)} that could not be read at once, down to single sectors`
    : `trying ${formatBytes(bytes)} of bad sectors again (${number} of ${retries})`;
}

// The one error class that users see. Every text lives in base/errors/, so that one golden test can render them all.
// Invariant: an errno is carried in `cause` and in the message as it came, never renamed.

/** Families of errors; each has one exit status. */
export type ErrorFamily =
  | 'usage'
  | 'safety'
  | 'device'
  | 'filesystem'
  | 'image'
  | 'verify'
  | 'incomplete'
  | 'interrupted';

export const EXIT_STATUS: Readonly<Record<ErrorFamily, number>> = {
  usage: 2,
  safety: 3,
  device: 4,
  filesystem: 5,
  image: 6,
  verify: 7,
  incomplete: 8,
  interrupted: 130,
};

/** Exit status of an error that is not a ToolError: a bug of ours. */
export const EXIT_BUG = 70;

export interface ToolErrorOptions {
  /** Stable and never reused: `family.what`, for example `safety.target-mounted`. */
  readonly code: `${ErrorFamily}.${string}`;
  /** What failed, on which thing, where, in the user's words. */
  readonly message: string;
  /** One imperative sentence: what to do about it. */
  readonly hint?: string;
  /** Facts for machines: plain JSON. */
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

export class ToolError extends Error {
  override readonly name = 'ToolError';
  readonly code: string;
  readonly family: ErrorFamily;
  readonly exitStatus: number;
  readonly hint: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(options: ToolErrorOptions) {
    super(options.message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = options.code;
    this.family = options.code.slice(0, options.code.indexOf('.')) as ErrorFamily;
    this.exitStatus = EXIT_STATUS[this.family];
    this.hint = options.hint;
    this.details = options.details ?? {};
  }
}

/** A ToolError as plain data: what survives the way between threads, where classes and fields are lost. */
export interface WireError {
  readonly code: string | undefined;
  readonly message: string;
  readonly hint: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;
  readonly stack: string | undefined;
}

export function toWire(error: unknown): WireError {
  const known = error instanceof ToolError ? error : undefined;
  return {
    code: known?.code,
    message: error instanceof Error ? error.message : String(error),
    hint: known?.hint,
    details: known?.details ?? {},
    stack: error instanceof Error ? error.stack : undefined,
  };
}

export function fromWire(wire: WireError): Error {
  if (wire.code === undefined) {
    const error = new Error(wire.message);
    if (wire.stack !== undefined) error.stack = wire.stack;
    return error;
  }
  return new ToolError({
    code: wire.code as ToolErrorOptions['code'],
    message: wire.message,
    details: wire.details,
    ...(wire.hint === undefined ? {} : { hint: wire.hint }),
  });
}

/** The errno name of a failed system call ("EIO"), or undefined for any other error. */
export function errnoOf(error: unknown): string | undefined {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string' && /^E[A-Z0-9]+$/.test(error.code)) {
    return error.code;
  }
  return undefined;
}

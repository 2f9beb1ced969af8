// The library: operations, their options and results, and the error class. Nothing else is public.

export type { Amounts, Report, ReportEvent, VolumeAmounts } from './base/report.js';
export { silent } from './base/report.js';
export { type ErrorFamily, EXIT_STATUS, ToolError } from './base/tool-error.js';
export { type BootProof, type ProveOptions, proveBoot } from './operation/boot.js';
export { clone } from './operation/clone.js';
export type {
  CloneOptions,
  ClonePlan,
  CloneResult,
  CloneRunResult,
  DamageOwner,
  PlannedVolumeFacts,
  RescueWish,
  Unreadable,
  UnreadableExtent,
  UnreadableVolume,
} from './operation/clone-types.js';
export { type DiskSummary, disks, inspect, type VolumeSummary } from './operation/inspect.js';
export { type AskedPlace, ownersAt, type PlaceOwner, type PlaceOwners } from './operation/owners.js';
export { type Difference, type VerifyOptions, type VerifyResult, verify } from './operation/verify.js';
export type { ExcludedFacts } from './plan/exclusions.js';

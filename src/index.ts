// The library: operations, their options and results, and the error class. Nothing else is public.

export { EXIT_STATUS, type ErrorFamily, ToolError } from './base/tool-error.js';
export type { Amounts, Report, ReportEvent, VolumeAmounts } from './base/report.js';
export { silent } from './base/report.js';
export {
  clone,
  type CloneOptions,
  type ClonePlan,
  type CloneResult,
  type CloneRunResult,
  type PlannedVolumeFacts,
} from './operation/clone.js';
export { type Difference, verify, type VerifyOptions, type VerifyResult } from './operation/verify.js';
export { type DiskSummary, disks, inspect, type VolumeSummary } from './operation/inspect.js';

export type { ListenAddress } from './listen.ts'
export { allocationContext, type NbdContext, rangesContext, type StatusRange } from './nbd-export.ts'
export { NBD_DEFAULTS, NbdServer, type NbdServerOptions, type NbdTls } from './nbd-server.ts'

import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '@platter/core'
import { type JobData, serveJob } from './jobs.ts'

assert(parentPort !== null, 'the worker entry was started in the main thread')
await serveJob(parentPort, workerData as JobData)

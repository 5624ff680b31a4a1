import type { MessagePort } from 'node:worker_threads'
import type { BackupWorkerData } from '../backup/backup-protocol.ts'
import type { CheckWorkerData } from '../check/check-protocol.ts'
import type { DecodeWorkerData } from '../image/decode-protocol.ts'
import type { RestoreWorkerData } from '../restore/restore-protocol.ts'

/** What a worker is started with; `kind` says which job it serves. */
export type JobData = BackupWorkerData | RestoreWorkerData | CheckWorkerData | DecodeWorkerData

/** Serves one kind of job at a port. Only that job's code is loaded. */
export async function serveJob(port: MessagePort, data: JobData): Promise<void> {
  switch (data.kind) {
    case 'backup': {
      const { serveBackup } = await import('../backup/backup-worker.ts')
      serveBackup(port, data)
      break
    }
    case 'restore': {
      const { serveRestore } = await import('../restore/restore-worker.ts')
      serveRestore(port, data)
      break
    }
    case 'check': {
      const { serveCheck } = await import('../check/check-worker.ts')
      serveCheck(port, data)
      break
    }
    case 'decode': {
      const { serveDecode } = await import('../image/decode-worker.ts')
      serveDecode(port, data)
      break
    }
  }
}

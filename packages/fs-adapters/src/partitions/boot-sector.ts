import { viewOf } from './decoding.ts'

/**
 * The filesystem whose boot sector this is, or undefined. FAT, NTFS and exFAT end with 55 AA as an MBR does, and have
 * boot code where an MBR has its entries.
 */
export function bootSectorOf(bytes: Uint8Array): string | undefined {
  const view = viewOf(bytes)
  if (view.getUint16(510, true) !== 0xaa55) return undefined
  const text = (at: number, length: number): string => String.fromCharCode(...bytes.subarray(at, at + length))
  if (text(3, 8) === 'EXFAT   ') return 'exFAT'
  if (text(3, 8) === 'NTFS    ') return 'NTFS'
  return isFat(bytes, view) ? 'FAT' : undefined
}

/** The parameter block of FAT (Microsoft's FAT specification, section 3), as strictly as all its writers allow. */
function isFat(bytes: Uint8Array, view: DataView): boolean {
  const jumps = bytes[0] === 0xeb || bytes[0] === 0xe9
  const sectorBytes = view.getUint16(11, true)
  const clusterSectors = view.getUint8(13)
  const media = view.getUint8(21)
  const sectors = view.getUint16(19, true) || view.getUint32(32, true)
  const tableSectors = view.getUint16(22, true) || view.getUint32(36, true)
  return (
    jumps &&
    [512, 1024, 2048, 4096].includes(sectorBytes) &&
    clusterSectors !== 0 &&
    (clusterSectors & (clusterSectors - 1)) === 0 &&
    view.getUint16(14, true) !== 0 &&
    view.getUint8(16) !== 0 &&
    (media === 0xf0 || media >= 0xf8) &&
    sectors !== 0 &&
    tableSectors !== 0
  )
}

/** The disk label of another kind that begins a disk, or undefined. `bytes` are its first 1024, or fewer. */
export function foreignLabelOf(bytes: Uint8Array): string | undefined {
  const view = viewOf(bytes)
  const magic = view.getUint32(0, false)
  if (magic >>> 16 === 0x4552 && bytes.length >= 514 && view.getUint16(512, false) === 0x504d) {
    return 'Apple partition map'
  }
  if (magic === 0x0be5a941) return 'SGI disk label'
  if (magic === 0xc9c2d4c1) return 'AIX disk label'
  if (view.getUint16(508, false) === 0xdabe) return 'Sun disk label'
  if (bytes.length >= 516 && view.getUint32(512, true) === 0x82564557) return 'BSD disk label'
  return undefined
}

// Loaded into a daemon with --import: what each young collection moved into old space, written to
// $GC_PROBE_FILE when the process ends.
import { writeFileSync } from 'node:fs'
import { GCProfiler } from 'node:v8'

const profiler = new GCProfiler()
profiler.start()
process.on('exit', () => {
  const { statistics } = profiler.stop()
  const oldSpace = ({ heapSpaceStatistics }) => heapSpaceStatistics.find(({ spaceName }) => spaceName === 'old_space').spaceUsedSize
  const scavenges = statistics.filter(({ gcType }) => gcType === 'Scavenge')
  const promoted = scavenges.map(({ beforeGC, afterGC }) => oldSpace(afterGC) - oldSpace(beforeGC))
  writeFileSync(process.env.GC_PROBE_FILE, JSON.stringify(promoted))
})

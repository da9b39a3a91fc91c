throw new RangeError('this worker never listens')

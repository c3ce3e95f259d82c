// When a run writes a checkpoint, and how it goes on from one.
#pragma once

#include "trainer/loop/early_stop.h"
#include "trainer/loop/prepare.h"
#include "trainer/loop/progress.h"
#include "trainer/optim/adamw.h"

namespace bitloop::trainer {

// Of one run; does nothing where the job wants no checkpoints.
class Checkpoints {
 public:
  // All must outlive it.
  Checkpoints(Run& run, AdamW& optimizer, EarlyStopWatch& watch, Progress& progress)
      : run_(run), optimizer_(optimizer), watch_(watch), progress_(progress) {}

  // Fills run, optimiser, watch and progress from the newest checkpoint that fits; where there is
  // none they stay as they are, at step 0. Sends a record `resumed` with step and notes. Requires:
  // the candidate is loaded and its layers are initialised.
  Status resume();
  // To be called after each step and its evaluation: saves when it is time to. Of a quantizer with
  // requantize_every only where codes are made anew next, so that none need be saved.
  // Error "rejected": a function of the candidate changed a variable, which a checkpoint would not
  // have.
  Status after_step();
  // Sends the records `checkpoint` of what was saved meanwhile.
  void report();
  // Waits for what is being saved, and reports.
  void finish();

 private:
  NamedTensors tensors() const;

  Run& run_;
  AdamW& optimizer_;
  EarlyStopWatch& watch_;
  Progress& progress_;
  bool due_ = false;
};

}  // namespace bitloop::trainer

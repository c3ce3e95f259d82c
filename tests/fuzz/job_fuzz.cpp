// job.json as its two readers take it: the supervisor and the trainer.
#include "harness/jobs/job.h"
#include "tests/fuzz/fuzz.h"
#include "trainer/job.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using bitloop::fuzz::require;
  const std::string text(reinterpret_cast<const char*>(data), size);
  if (const auto job = bitloop::jobs::parse_job(text)) {
    require(job->limits.deadline.count() > 0 && job->limits.threads > 0, "limits are limits");
    for (const auto& path : job->data)
      require(path.is_absolute(), "the jail is shown files by absolute paths");
  } else {
    require(job.error().code == "bad_job", "the supervisor's refusal has its code");
  }
  if (const auto job = bitloop::trainer::parse_job(text); !job)
    require(job.error().code == "bad_job", "the trainer's refusal has its code");
  return 0;
}

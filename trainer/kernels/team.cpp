#include "trainer/kernels/team.h"

#include <omp.h>

namespace bitloop::kernels {

int64_t team_size() { return omp_get_max_threads(); }

int64_t team_member() { return omp_get_thread_num(); }

void run_team(int64_t threads, const void* object, void (*call)(const void*, int64_t)) {
  if (threads == 1) {
    call(object, 0);
    return;
  }
#pragma omp parallel for schedule(static, 1) num_threads(static_cast <int>(threads))
  for (int64_t t = 0; t < threads; ++t) call(object, t);
}

}  // namespace bitloop::kernels

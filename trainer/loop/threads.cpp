#include "trainer/loop/threads.h"

#include <ATen/Parallel.h>
#include <omp.h>

#include "trainer/kernels/team.h"

namespace bitloop::trainer {

void start_threads(int64_t threads) {
  at::set_num_threads(static_cast<int>(threads));
  kernels::start_threads();
  // The team's threads work alone where LibTorch would start OpenMP's for a large tensor. LibTorch
  // sets the number once in each thread that asks it, so it is asked now, and then told again.
  kernels::run_team(kernels::team_size(), [](int64_t) {
    if (kernels::team_member() == 0) return;
    at::internal::lazy_init_num_threads();
    omp_set_num_threads(1);
  });
}

}  // namespace bitloop::trainer

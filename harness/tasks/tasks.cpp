#include "harness/tasks/tasks.h"

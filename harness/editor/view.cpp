#include "harness/editor/view.h"

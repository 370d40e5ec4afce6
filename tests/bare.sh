#!/usr/bin/env bash
# Runs a command with what every user's environment has, and nothing more: a variable that only a developer's shell sets
# (PYTHONDONTWRITEBYTECODE, say) would hide faults that users meet. Kept besides are the settings of pip and of CUDA, and what the tests ask for by name.
set -euo pipefail

kept=()
while IFS= read -r -d '' pair; do
    case "${pair%%=*}" in
        HOME | PATH | LANG | PIP_* | CI | PG* | LATHE_TEST_* | LATHE_CI_* | LATHE_ASSETS | OMP_NUM_THREADS | \
            CUDA_* | NVIDIA_* | LD_LIBRARY_PATH) kept+=("$pair") ;;
    esac
done < <(env -0)
exec env -i "${kept[@]}" "$@"

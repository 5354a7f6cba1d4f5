"""The finetune engine: from stage rates to top-1. It knows no HTTP, no database and no Optuna."""

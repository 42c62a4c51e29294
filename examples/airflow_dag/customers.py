"""A DAG that pseudonymizes files."""

from airflow.sdk import BaseOperator, dag, task


class PseudonymizeFiles(BaseOperator):
    """Pseudonymize the tables below a folder; another try goes on where one stopped."""

    template_fields = ("source", "target")

    def __init__(self, *, source, target, columns=None, **options):
        super().__init__(**options)
        self.source = source
        self.target = target
        self.columns = columns

    def execute(self, context):
        from secureml.files import anonymize_files

        done = anonymize_files(self.source, self.target, self.columns, resume=True, workers=1)
        return {"written": len(done.files), "before": done.done_before, "rows": done.rows}


@task
def hidden_file(source, target):
    from secureml.files import anonymize_file

    return anonymize_file(source, target, ["ssn"], force=True).rows


@dag(schedule=None)
def customers():
    PseudonymizeFiles(
        task_id="hide",
        source="landing/{{ ds }}",
        target="hidden/{{ ds }}",
        columns=["ssn"],
        retries=3,
    )
    hidden_file("landing/suppliers.csv", "hidden/suppliers.csv")


customers()

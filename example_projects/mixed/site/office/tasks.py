"""The site's jobs; whoever knows their names may enqueue them."""

from office.models import Letter

try:
    from django.tasks import task
except ImportError:  # Django 5.2
    from django_tasks import task


@task(queue_name="letters")
def write_letter(picture_id: int) -> int:
    """Tell the owner that the thumbnail is there."""
    letter, _ = Letter.objects.get_or_create(picture_id=picture_id)
    return letter.pk

"""A page that goes from texts to a pipeline: annotate, correct, train, see the change, export.

project/ is what it keeps on disk, session.py the pipeline that is served, finetune.py trains
a copy of it, project_models.py has the models of a project, jobs.py what takes long. app.py
and project_routes.py speak HTTP, page_guard.py says who may, and page/ is what a browser
shows.

Or an API for other programs: annotator.py is the pipeline behind it, batching.py its queue, service.py
starts and stops both, api.py speaks HTTP, and api_*.py are what stands before and around it.
"""

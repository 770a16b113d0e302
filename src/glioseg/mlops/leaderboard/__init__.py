"""The experiments page: all evaluated models and all studies of a project in one offline HTML file."""
